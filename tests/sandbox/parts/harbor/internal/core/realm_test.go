// SPDX-License-Identifier: GPL-3.0-or-later

package core

import (
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"splithorizon.example/sandbox/harbor/internal/captures"
)

// harbor.example.com [X-Forwarded-Proto: https], or [catalog], or [HEAD]
var annotated = regexp.MustCompile(`^(\S+) \[(?:(\S+): )?(.+)\]$`)

func TestRealmsAsCaptured(t *testing.T) {
	var cases []struct {
		ExtEndpoint     string `yaml:"ext_endpoint"`
		CoreURL         string `yaml:"core_url"`
		TokenServiceURL string `yaml:"token_service_url"`
		Realms          map[string]string
	}
	captures.Load(t, "harbor-2.15/realms.yaml", &cases)
	for _, c := range cases {
		settings := environment{"EXT_ENDPOINT": c.ExtEndpoint, "CORE_URL": c.CoreURL, "TOKEN_SERVICE_URL": c.TokenServiceURL}
		server := newServer(t, settings)
		for name, want := range c.Realms {
			t.Run(c.ExtEndpoint+" "+c.CoreURL+" "+c.TokenServiceURL+" "+name, func(t *testing.T) {
				method, path, host := "GET", "/v2/", name
				request := httptest.NewRequest(method, path, nil)
				if found := annotated.FindStringSubmatch(name); found != nil {
					host = found[1]
					switch found[3] {
					case "catalog":
						path = "/v2/_catalog"
					case "HEAD":
						method = "HEAD"
					}
					request = httptest.NewRequest(method, path, nil)
					if found[2] != "" {
						request.Header.Set(found[2], found[3])
					}
				}
				request.Host = host
				answer := httptest.NewRecorder()
				server.ServeHTTP(answer, request)
				if got := answer.Header().Get("Www-Authenticate"); answer.Code != 401 || got != strings.TrimPrefix(want, "401 ") {
					t.Errorf("%d %s\nwant 401 %s", answer.Code, got, want)
				}
			})
		}
	}
}

func TestRealmBefore214IsTheWholeEndpoint(t *testing.T) {
	settings := environment{"EXT_ENDPOINT": "https://harbor.example.com/", "SANDBOX_HARBOR_VERSION": "v2.13.5"}
	for host, want := range map[string]string{
		"192.168.1.105": "https://harbor.example.com/service/token",
		"harbor-core":   "http://harbor-core:80/service/token",
	} {
		request := httptest.NewRequest("GET", "/v2/", nil)
		request.Host = host
		answer := httptest.NewRecorder()
		newServer(t, settings).ServeHTTP(answer, request)
		if got := answer.Header().Get("Www-Authenticate"); !strings.Contains(got, `"`+want+`"`) {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
}

func TestChallengeNamesTheScope(t *testing.T) {
	server := newServer(t, nil)
	for request, want := range map[string]string{
		"GET /v2/library/a/b/manifests/1":                    "repository:library/a/b:pull",
		"HEAD /v2/library/web/blobs/sha256:00":               "repository:library/web:pull",
		"POST /v2/library/web/blobs/uploads/":                "repository:library/web:pull,push",
		"PATCH /v2/library/web/blobs/uploads/12-ab":          "repository:library/web:pull,push",
		"DELETE /v2/library/web/manifests/sha256:00":         "repository:library/web:delete",
		"POST /v2/library/web/blobs/uploads/?from=library/b": "repository:library/web:pull,push repository:library/b:pull",
	} {
		method, path, _ := strings.Cut(request, " ")
		answer := httptest.NewRecorder()
		server.ServeHTTP(answer, httptest.NewRequest(method, path, nil))
		if got := answer.Header().Get("Www-Authenticate"); !strings.HasSuffix(got, `,scope="`+want+`"`) {
			t.Errorf("%s: %s, want scope %s", request, got, want)
		}
	}
}
