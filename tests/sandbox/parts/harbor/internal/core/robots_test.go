// SPDX-License-Identifier: GPL-3.0-or-later

package core

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const puller = `{"name": "app", "level": "system", "duration": %d, "disable": %t,
  "permissions": [{"kind": "project", "namespace": "apps", "access": [{"resource": "repository", "action": "pull"}]}]}`

func asAdmin(server *Server, method, path, body string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(method, path, strings.NewReader(body))
	request.SetBasicAuth("admin", "Harbor12345")
	answer := httptest.NewRecorder()
	server.ServeHTTP(answer, request)
	return answer
}

func logsIn(server *Server, name, secret string) bool {
	request := httptest.NewRequest("GET", "/v2/", nil)
	request.SetBasicAuth(name, secret)
	answer := httptest.NewRecorder()
	server.ServeHTTP(answer, request)
	return answer.Code == http.StatusOK
}

func made(t *testing.T, server *Server, duration int) createdRobot {
	t.Helper()
	answer := asAdmin(server, "POST", "/api/v2.0/robots", fmt.Sprintf(puller, duration, true))
	var robot createdRobot
	if err := json.Unmarshal(answer.Body.Bytes(), &robot); err != nil || answer.Code != http.StatusCreated {
		t.Fatalf("%d %s", answer.Code, answer.Body)
	}
	return robot
}

func TestARobotLogsInWithTheSecretItHasNow(t *testing.T) {
	server := newServer(t, nil)
	robot := made(t, server, forever)
	path := fmt.Sprintf("/api/v2.0/robots/%d", robot.ID)
	if !logsIn(server, robot.Name, robot.Secret) {
		t.Error("the secret it was made with opens nothing; it is not disabled, as Harbor does not read that here")
	}
	asAdmin(server, "PATCH", path, `{"secret": "Another1secret"}`)
	if logsIn(server, robot.Name, robot.Secret) || !logsIn(server, robot.Name, "Another1secret") {
		t.Error("the secret was not replaced")
	}
	asAdmin(server, "PUT", path, strings.Replace(fmt.Sprintf(puller, forever, true), `"app"`, `"robot$app"`, 1))
	if logsIn(server, robot.Name, "Another1secret") {
		t.Error("it is disabled and logs in")
	}
	asAdmin(server, "DELETE", path, "")
	if code := asAdmin(server, "GET", path, "").Code; code != http.StatusNotFound {
		t.Errorf("%d: it is still there", code)
	}
}

func TestARobotExpires(t *testing.T) {
	server := newServer(t, nil)
	robot := made(t, server, 1)
	if !logsIn(server, robot.Name, robot.Secret) {
		t.Error("its day has not passed, and it does not log in")
	}
	found := server.robotNamed(robot.Name)
	found.created = found.created.AddDate(0, 0, -3)
	found.setDuration(2)
	if logsIn(server, robot.Name, robot.Secret) {
		t.Error("its days count from its creation, and it still logs in")
	}
}

func TestRobotsArePaged(t *testing.T) {
	server := newServer(t, nil)
	seen := ""
	for number := range 2 {
		answer := asAdmin(server, "GET", fmt.Sprintf("/api/v2.0/robots?page=%d&page_size=1", number+1), "")
		var found []account
		if json.Unmarshal(answer.Body.Bytes(), &found) != nil || len(found) != 1 || answer.Header().Get("X-Total-Count") != "2" {
			t.Fatalf("%v %s", answer.Header(), answer.Body)
		}
		seen += found[0].Name + " "
	}
	if seen != "robot$ci robot$cluster-pull " {
		t.Error(seen)
	}
}

func TestOnlyTheAdministratorSeesRobots(t *testing.T) {
	server := newServer(t, nil)
	for user, want := range map[string]int{"robot$ci:push-secret": 403, "admin:wrong": 401} {
		name, password, _ := strings.Cut(user, ":")
		request := httptest.NewRequest("GET", "/api/v2.0/robots", nil)
		request.SetBasicAuth(name, password)
		answer := httptest.NewRecorder()
		server.ServeHTTP(answer, request)
		if answer.Code != want {
			t.Errorf("%s: %d", name, answer.Code)
		}
	}
}
