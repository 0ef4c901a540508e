// SPDX-License-Identifier: GPL-3.0-or-later

package core

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	robotPrefix = "robot$"
	forever     = -1
)

var (
	robotName    = regexp.MustCompile(`^[a-z0-9]+(?:[._-][a-z0-9]+)*$`)
	secretNeeds  = []*regexp.Regexp{regexp.MustCompile(`[a-z]`), regexp.MustCompile(`[A-Z]`), regexp.MustCompile(`\d`)}
	robotActions = append([]string{"list", "read", "create", "update", "stop"}, actions...)
)

type robotAccess struct {
	Action   string `json:"action"`
	Resource string `json:"resource"`
}

type robotPermission struct {
	Access    []robotAccess `json:"access"`
	Kind      string        `json:"kind"`
	Namespace string        `json:"namespace"`
}

// account is a robot as the API tells it, and its secret.
type account struct {
	CreationTime string            `json:"creation_time"`
	CreatorRef   int               `json:"creator_ref"`
	CreatorType  string            `json:"creator_type"`
	Description  string            `json:"description,omitempty"`
	Disable      bool              `json:"disable"`
	Duration     int               `json:"duration"`
	Editable     bool              `json:"editable"`
	ExpiresAt    int64             `json:"expires_at"`
	ID           int               `json:"id"`
	Level        string            `json:"level"`
	Name         string            `json:"name"`
	Permissions  []robotPermission `json:"permissions"`
	UpdateTime   string            `json:"update_time"`

	created time.Time
	secret  string
}

// usable tells whether the account may log in.
func (a *account) usable(now time.Time) bool {
	return !a.Disable && (a.ExpiresAt == forever || a.ExpiresAt > now.Unix())
}

// rights are the actions on repositories, by project.
func (a *account) rights() *Robot {
	found := map[string][]string{}
	for _, permission := range a.Permissions {
		for _, one := range permission.Access {
			if permission.Kind == "project" && one.Resource == "repository" {
				found[permission.Namespace] = append(found[permission.Namespace], one.Action)
			}
		}
	}
	return &Robot{Permissions: found}
}

// setDuration counts the days from the account's creation, as Harbor does.
func (a *account) setDuration(days int) {
	a.Duration, a.ExpiresAt = days, forever
	if days != forever {
		a.ExpiresAt = a.created.AddDate(0, 0, days).Unix()
	}
}

// robotStore is the accounts, in memory: those of SANDBOX_ROBOTS are there again after a restart, others are not.
type robotStore struct {
	mutex sync.Mutex
	all   []*account
	next  int
}

func newRobotStore(seeds map[string]Robot) *robotStore {
	made := &robotStore{next: 1}
	names := make([]string, 0, len(seeds))
	for name := range seeds {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		seed := account{Level: "system", Duration: forever, Permissions: permissionsOf(seeds[name])}
		made.add(&seed, strings.TrimPrefix(name, robotPrefix), seeds[name].Secret)
	}
	return made
}

func permissionsOf(seed Robot) []robotPermission {
	found := []robotPermission{}
	for namespace, allowed := range seed.Permissions {
		one := robotPermission{Kind: "project", Namespace: namespace}
		for _, action := range allowed {
			one.Access = append(one.Access, robotAccess{Action: action, Resource: "repository"})
		}
		found = append(found, one)
	}
	return found
}

func (r *robotStore) add(one *account, name, secret string) {
	one.created = time.Now().UTC()
	one.CreationTime = one.created.Format(apiTime)
	one.UpdateTime = one.CreationTime
	one.CreatorRef, one.CreatorType, one.Editable = 1, "local", true
	one.Name, one.secret, one.ID = robotPrefix+name, secret, r.next
	one.setDuration(one.Duration)
	r.next++
	r.all = append(r.all, one)
}

// login gives the rights of the account whose credentials these are, nil where they open nothing.
func (r *robotStore) login(name, secret string) *Robot {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for _, one := range r.all {
		if one.Name == name && same(one.secret, secret) && one.usable(time.Now()) {
			return one.rights()
		}
	}
	return nil
}

// robotRoutes are the API of robot accounts, for the administrator. Those of a project are told by an id that
// only the API of projects gives; there are none here.
func (s *Server) robotRoutes() {
	for pattern, serve := range map[string]func(*http.Request) (any, *apiError){
		"GET /api/v2.0/robots":         s.listRobots,
		"POST /api/v2.0/robots":        s.createRobot,
		"GET /api/v2.0/robots/{id}":    s.getRobot,
		"PUT /api/v2.0/robots/{id}":    s.updateRobot,
		"PATCH /api/v2.0/robots/{id}":  s.refreshRobot,
		"DELETE /api/v2.0/robots/{id}": s.deleteRobot,
	} {
		s.api.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			switch who := s.identify(r); {
			case !who.authenticated():
				sendError(w, apiError{"UNAUTHORIZED", "unauthorized"})
				return
			case !who.admin:
				sendError(w, apiError{"FORBIDDEN", "forbidden"})
				return
			}
			s.robots.mutex.Lock()
			defer s.robots.mutex.Unlock()
			answer, failed := serve(r)
			if failed != nil {
				sendError(w, *failed)
				return
			}
			sendRobots(w, answer)
		})
	}
}

type createdRobot struct {
	CreationTime string `json:"creation_time"`
	ExpiresAt    int64  `json:"expires_at"`
	ID           int    `json:"id"`
	Name         string `json:"name"`
	Secret       string `json:"secret"`
}

type page struct {
	robots []*account
	total  int
}

func sendRobots(w http.ResponseWriter, answer any) {
	switch found := answer.(type) {
	case nil:
		w.WriteHeader(http.StatusOK)
	case page:
		w.Header().Set("X-Total-Count", strconv.Itoa(found.total))
		sendJSON(w, "application/json", found.robots)
	case createdRobot:
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Location", fmt.Sprintf("/api/v2.0/robots/%d", found.ID))
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(found)
	default:
		sendJSON(w, "application/json", found)
	}
}

func (s *Server) listRobots(r *http.Request) (any, *apiError) {
	query := r.URL.Query()
	wanted := map[string]string{}
	for _, pair := range strings.Split(query.Get("q"), ",") {
		if name, value, ok := strings.Cut(pair, "="); ok {
			wanted[strings.ToLower(name)] = value
		}
	}
	if wanted["level"] == "project" {
		return page{robots: []*account{}}, nil
	}
	found := []*account{}
	for _, one := range s.robots.all {
		if name, asked := wanted["name"]; !asked || one.Name == robotPrefix+name {
			found = append(found, one)
		}
	}
	number, size := positive(query.Get("page"), 1), positive(query.Get("page_size"), 10)
	first := min((number-1)*size, len(found))
	return page{robots: found[first:min(first+size, len(found))], total: len(found)}, nil
}

func positive(text string, fallback int) int {
	if number, err := strconv.Atoi(text); err == nil && number > 0 {
		return number
	}
	return fallback
}

func (s *Server) createRobot(r *http.Request) (any, *apiError) {
	var asked account
	if failed := decode(r, &asked); failed != nil {
		return nil, failed
	}
	if !robotName.MatchString(asked.Name) {
		return nil, &apiError{"BAD_REQUEST", "robot name is not in lower case or contains illegal characters"}
	}
	if failed := validRobot(asked); failed != nil {
		return nil, failed
	}
	if s.robotNamed(robotPrefix+asked.Name) != nil {
		return nil, &apiError{"CONFLICT", fmt.Sprintf("robot account 0:%s already exists", asked.Name)}
	}
	asked.Disable = false // as in Harbor, which does not read it here
	secret := rand.Text() + "a1"
	s.robots.add(&asked, asked.Name, secret)
	return createdRobot{asked.CreationTime, asked.ExpiresAt, asked.ID, asked.Name, secret}, nil
}

func (s *Server) getRobot(r *http.Request) (any, *apiError) { return s.robotOf(r) }

func (s *Server) updateRobot(r *http.Request) (any, *apiError) {
	found, failed := s.robotOf(r)
	if failed != nil {
		return nil, failed
	}
	var asked account
	if failed := decode(r, &asked); failed != nil {
		return nil, failed
	}
	if failed := validRobot(asked); failed != nil {
		return nil, failed
	}
	if asked.Level != found.Level || asked.Name != found.Name {
		return nil, &apiError{"BAD_REQUEST", "cannot update the level or name of robot"}
	}
	if asked.Duration != found.Duration {
		found.setDuration(asked.Duration)
	}
	found.Description, found.Disable, found.Permissions = asked.Description, asked.Disable, asked.Permissions
	found.UpdateTime = time.Now().UTC().Format(apiTime)
	return nil, nil
}

func (s *Server) refreshRobot(r *http.Request) (any, *apiError) {
	found, failed := s.robotOf(r)
	if failed != nil {
		return nil, failed
	}
	var asked struct {
		Secret string `json:"secret"`
	}
	if failed := decode(r, &asked); failed != nil {
		return nil, failed
	}
	if asked.Secret == "" {
		found.secret = rand.Text() + "a1"
		return map[string]string{"secret": found.secret}, nil
	}
	for _, need := range secretNeeds {
		if len(asked.Secret) < 8 || len(asked.Secret) > 128 || !need.MatchString(asked.Secret) {
			return nil, &apiError{"BAD_REQUEST", "the secret must be 8-128, inclusively, characters long with at least 1 uppercase letter, 1 lowercase letter and 1 number"}
		}
	}
	found.secret = asked.Secret
	return map[string]string{}, nil
}

func (s *Server) deleteRobot(r *http.Request) (any, *apiError) {
	found, failed := s.robotOf(r)
	if failed != nil {
		return nil, failed
	}
	s.robots.all = slices.DeleteFunc(s.robots.all, func(one *account) bool { return one == found })
	return nil, nil
}

func (s *Server) robotOf(r *http.Request) (*account, *apiError) {
	for _, one := range s.robots.all {
		if strconv.Itoa(one.ID) == r.PathValue("id") {
			return one, nil
		}
	}
	return nil, &apiError{"NOT_FOUND", fmt.Sprintf("robot with id %s not found", r.PathValue("id"))}
}

func (s *Server) robotNamed(name string) *account {
	for _, one := range s.robots.all {
		if one.Name == name {
			return one
		}
	}
	return nil
}

func decode(r *http.Request, into any) *apiError {
	if err := json.NewDecoder(r.Body).Decode(into); err != nil {
		return &apiError{"BAD_REQUEST", "parsing body failed"}
	}
	return nil
}

func validRobot(asked account) *apiError {
	switch {
	case asked.Duration < forever || asked.Duration == 0: // 0 is a default of Harbor's settings, which are not here
		return &apiError{"BAD_REQUEST", fmt.Sprintf("bad request error duration input: %d", asked.Duration)}
	case asked.Level != "system":
		return &apiError{"BAD_REQUEST", fmt.Sprintf("bad request error level input: %s", asked.Level)}
	case len(asked.Permissions) == 0:
		return &apiError{"BAD_REQUEST", "bad request empty permission"}
	}
	for _, permission := range asked.Permissions {
		if len(permission.Access) == 0 {
			return &apiError{"BAD_REQUEST", "bad request empty access"}
		}
		for _, one := range permission.Access {
			if !slices.Contains(robotActions, one.Action) {
				return &apiError{"BAD_REQUEST", fmt.Sprintf("bad request permission: %s:%s", one.Resource, one.Action)}
			}
		}
	}
	return nil
}
