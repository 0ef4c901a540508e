// SPDX-License-Identifier: GPL-3.0-or-later

package core

import (
	"strings"
	"testing"
)

func TestBadConfigurationIsNamed(t *testing.T) {
	good := environment{
		"EXT_ENDPOINT": "https://harbor.example.com", "CORE_URL": "http://harbor-core:80", "REGISTRY_URL": "http://registry:5000",
	}
	bad := environment{
		"EXT_ENDPOINT": "", "CORE_URL": "", "REGISTRY_URL": "registry:5000:x",
		"SANDBOX_STARTUP_SECONDS": "soon", "SANDBOX_ROBOTS": `{"robot$a": "hunter2"}`, "SANDBOX_PROJECTS": "library",
	}
	for name, value := range bad {
		_, err := FromEnvironment(func(key string) string {
			if key == name {
				return value
			}
			return good[key]
		})
		if err == nil || !strings.HasPrefix(err.Error(), name) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s=%q: %v", name, value, err)
		}
	}
}
