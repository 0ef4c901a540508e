// SPDX-License-Identifier: GPL-3.0-or-later

package core

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"splithorizon.example/sandbox/harbor/internal/captures"
)

// API areas that are not served yet, by the beginning of their cases' names.
var outOfScope = map[string]string{
	"configurations": "settings of Harbor itself",
	"project":        "projects: those of SANDBOX_PROJECTS only",
	"metadata":       "projects: those of SANDBOX_PROJECTS only",
	"robot":          "robot accounts: in TestRobotsAsCaptured, from none on",
	"registry":       "registries and replication",
	"adapters":       "registries and replication",
	"policy":         "registries and replication",
	"execution":      "registries and replication",
	"scanall":        "schedules",
	"gc":             "schedules",
	"scanners":       "scanners",
	"repositories":   "repositories of a project",
}

// What differs from one call to the next, or is recorded without its value.
var volatile = []string{"token", "access_token", "secret", "issued_at", "current_time", "creation_time", "update_time"}

type apiCase struct {
	Name     string
	Request  string
	As       string
	Body     any
	Status   int
	Headers  map[string]string
	Response any
}

func TestAPIAsCaptured(t *testing.T) {
	var cases []apiCase
	captures.Load(t, "harbor-2.15/api.yaml", &cases)
	server := newServer(t, nil)
	awaitHealthy(t, server)
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			if why, out := outOfScope[area(c)]; out {
				t.Skipf("not served: %s", why)
			}
			compare(t, server, c)
		})
	}
}

func TestRobotsAsCaptured(t *testing.T) {
	var cases []apiCase
	captures.Load(t, "harbor-2.15/api.yaml", &cases)
	server := newServer(t, environment{"SANDBOX_ROBOTS": "{}"})
	seen := 0
	for _, c := range cases {
		if area(c) == "robot" {
			t.Run(c.Name, func(t *testing.T) { compare(t, server, c) })
			seen++
		}
	}
	if seen < 9 {
		t.Errorf("only %d calls to robots", seen)
	}
}

func area(c apiCase) string {
	first, _, _ := strings.Cut(c.Name, " ")
	return first
}

func compare(t *testing.T, server *Server, c apiCase) {
	t.Helper()
	answer := ask(t, server, c)
	if answer.Code != c.Status {
		t.Fatalf("status %d, want %d: %s", answer.Code, c.Status, answer.Body)
	}
	for name, want := range c.Headers {
		if got, there := answer.Header()[http.CanonicalHeaderKey(name)]; !there || !slices.Equal(got, []string{want}) {
			t.Errorf("%s %q, want %q", name, got, want)
		}
	}
	if got, want := steady(body(answer)), steady(c.Response); !reflect.DeepEqual(got, want) {
		t.Errorf("body %#v\nwant %#v", got, want)
	}
}

func ask(t *testing.T, server *Server, c apiCase) *httptest.ResponseRecorder {
	t.Helper()
	method, path, _ := strings.Cut(c.Request, " ")
	text, err := json.Marshal(c.Body)
	if err != nil {
		t.Fatal(err)
	}
	request := httptest.NewRequest(method, path, bytes.NewReader(text))
	request.Host = "127.0.0.1:8080" // that of the capture
	switch {
	case strings.Contains(c.Name, "bad password"):
		request.SetBasicAuth("robot$cluster-pull", "wrong")
	case c.As == "robot":
		request.SetBasicAuth("robot$cluster-pull", "pull-secret")
	case c.As == "admin":
		request.SetBasicAuth("admin", "Harbor12345")
	}
	answer := httptest.NewRecorder()
	server.ServeHTTP(answer, request)
	return answer
}

func body(answer *httptest.ResponseRecorder) any {
	var decoded any
	if json.Unmarshal(answer.Body.Bytes(), &decoded) != nil {
		return answer.Body.String()
	}
	return decoded
}

// steady makes numbers of one kind and takes volatile values out, leaving that they are there.
func steady(value any) any {
	switch typed := value.(type) {
	case int:
		return float64(typed)
	case []any:
		all := make([]any, len(typed))
		for i, item := range typed {
			all[i] = steady(item)
		}
		return all
	case map[string]any:
		all := map[string]any{}
		for name, item := range typed {
			if all[name] = steady(item); slices.Contains(volatile, name) {
				all[name] = "…"
			}
		}
		return all
	default:
		return value
	}
}

func overall(server *Server) (string, string) {
	answer := httptest.NewRecorder()
	server.ServeHTTP(answer, httptest.NewRequest("GET", "/api/v2.0/health", nil))
	var decoded struct{ Status string }
	_ = json.Unmarshal(answer.Body.Bytes(), &decoded)
	return decoded.Status, answer.Body.String()
}

func awaitHealthy(t *testing.T, server *Server) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if status, _ := overall(server); status == "healthy" {
			return
		}
	}
	_, text := overall(server)
	t.Fatalf("not healthy: %s", text)
}

func TestHealthNamesTheComponentThatIsDown(t *testing.T) {
	server := newServer(t, environment{"JOBSERVICE_URL": "http://127.0.0.1:1"})
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		status, text := overall(server)
		if strings.Contains(text, "connection refused") && !strings.Contains(text, "unknown status") {
			if status != "unhealthy" || strings.Count(text, `"error"`) != 1 {
				t.Errorf("only the job service is down: %s", text)
			}
			return
		}
	}
	t.Error("the job service's error was never named")
}

func TestHealthKnowsNothingBeforeTheFirstCheck(t *testing.T) {
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer silent.CloseClientConnections()
	server := newServer(t, environment{"JOBSERVICE_URL": silent.URL})
	if status, text := overall(server); status != "unhealthy" || !strings.Contains(text, "unknown status") {
		t.Errorf("%s", text)
	}
}
