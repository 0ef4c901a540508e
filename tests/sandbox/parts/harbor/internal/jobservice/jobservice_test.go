// SPDX-License-Identifier: GPL-3.0-or-later

package jobservice

import (
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
