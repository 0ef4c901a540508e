// SPDX-License-Identifier: GPL-3.0-or-later

package jobservice

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestOnlyProbesAndSettingsAreOpen(t *testing.T) {
	server := New("http://harbor-core:80", time.Now)
	for path, want := range map[string]struct {
		status int
		text   string
	}{
		"/api/v1/stats":     {200, `"worker_pools"`},
		"/sandbox/settings": {200, `{"CORE_URL":"http://harbor-core:80"}`},
		"/api/v1/jobs":      {401, `Unauthorized`},
	} {
		answer := httptest.NewRecorder()
		server.ServeHTTP(answer, httptest.NewRequest("GET", path, nil))
		if answer.Code != want.status || !strings.Contains(answer.Body.String(), want.text) {
			t.Errorf("%s: %d %s", path, answer.Code, answer.Body)
		}
	}
}

func TestCoreIsWaitedFor(t *testing.T) {
	answers := []int{http.StatusServiceUnavailable, http.StatusOK}
	core := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(answers[0])
		answers = answers[1:]
	}))
	defer core.Close()
	if err := AwaitCore(t.Context(), core.URL, 5*time.Second); err != nil || len(answers) != 0 {
		t.Error(err, answers)
	}
	if err := AwaitCore(t.Context(), "http://127.0.0.1:1", 10*time.Millisecond); err == nil {
		t.Error("a core that nothing serves was found")
	}
}
