// SPDX-License-Identifier: GPL-3.0-or-later

package core

import (
	"maps"
	"net/http"
	"strings"
	"time"
)

const apiTime = "2006-01-02T15:04:05.000Z"

// serveSystemInfo tells versions and addresses to authenticated clients only.
func (s *Server) serveSystemInfo(w http.ResponseWriter, r *http.Request) {
	info := map[string]any{
		"auth_mode":          "db_auth",
		"banner_message":     "",
		"oidc_provider_name": "",
		"primary_auth_mode":  false,
		"self_registration":  false,
	}
	if s.identify(r).authenticated() {
		_, registry, _ := strings.Cut(s.config.ExtEndpoint, "://")
		maps.Copy(info, map[string]any{
			"current_time":                   time.Now().UTC().Format(apiTime),
			"external_url":                   s.config.ExtEndpoint,
			"harbor_version":                 s.config.Version,
			"has_ca_root":                    false,
			"notification_enable":            true,
			"project_creation_restriction":   "everyone",
			"read_only":                      false,
			"registry_storage_provider_name": "filesystem",
			"registry_url":                   registry,
		})
	}
	sendJSON(w, "application/json", info)
}
