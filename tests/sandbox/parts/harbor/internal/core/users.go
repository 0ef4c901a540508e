// SPDX-License-Identifier: GPL-3.0-or-later

package core

import "net/http"

// serveCurrentUser is what clients ask to find out whether their password is right.
func (s *Server) serveCurrentUser(w http.ResponseWriter, r *http.Request) {
	who := s.identify(r)
	switch {
	case !who.authenticated():
		sendError(w, apiError{"UNAUTHORIZED", "unauthorized"})
	case who.robot != nil:
		sendError(w, apiError{"PRECONDITION", "get current user not available for security context: robot"})
	default:
		started := s.started.UTC().Format(apiTime)
		sendJSON(w, "application/json", map[string]any{
			"admin_role_in_auth": false,
			"comment":            "admin user",
			"creation_time":      started,
			"realname":           "system admin",
			"sysadmin_flag":      true,
			"update_time":        started,
			"user_id":            1,
			"username":           who.name,
		})
	}
}
