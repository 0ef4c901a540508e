// SPDX-License-Identifier: GPL-3.0-or-later

package core

import (
	"crypto/subtle"
	"net/http"
	"slices"
	"strings"
)

var actions = []string{"pull", "push", "delete"}

// identity is who a request comes from and what it may do. Its zero value is nobody, who may pull from public
// projects. Wrong credentials make nobody too: Harbor tells the two apart only by what they open.
type identity struct {
	name   string
	admin  bool
	robot  *Robot
	access []access // of a token; nil for any other
}

func (i identity) authenticated() bool { return i.name != "" }

// can tells whether a project's repositories are open to the identity. A token's rights count for the whole
// project of the repository they name, as in Harbor.
func (i identity) can(action, project string, public bool) bool {
	switch {
	case i.admin:
		return true
	case i.robot != nil:
		return slices.Contains(i.robot.Permissions[project], action) || slices.Contains(i.robot.Permissions["*"], action) ||
			(public && action == "pull")
	case i.access != nil:
		for _, a := range i.access {
			owner, _, _ := strings.Cut(a.Name, "/")
			if a.Type == "repository" && owner == project && slices.Contains(a.Actions, action) {
				return true
			}
		}
		return false
	default:
		return public && action == "pull"
	}
}

func (s *Server) identify(r *http.Request) identity {
	header := r.Header.Get("Authorization")
	if scheme, raw, _ := strings.Cut(header, " "); strings.EqualFold(scheme, "Bearer") && strings.HasPrefix(r.URL.Path, "/v2") {
		found, err := s.tokens.verify(raw)
		if err != nil {
			return identity{}
		}
		return found
	}
	name, password, ok := r.BasicAuth()
	if !ok {
		return identity{}
	}
	if robot := s.robots.login(name, password); robot != nil {
		return identity{name: name, robot: robot}
	}
	if name == "admin" && same(s.config.AdminPassword, password) {
		return identity{name: name, admin: true}
	}
	return identity{}
}

func same(a, b string) bool {
	return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}
