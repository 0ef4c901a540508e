// SPDX-License-Identifier: GPL-3.0-or-later

package core

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	"github.com/sirupsen/logrus"
	"golang.org/x/crypto/bcrypt"

	"splithorizon.example/sandbox/harbor/internal/jobservice"
)

type environment map[string]string

const robots = `{
  "robot$cluster-pull": {"secret": "pull-secret", "permissions": {"*": ["pull"]}},
  "robot$ci": {"secret": "push-secret", "permissions": {"library": ["pull", "push", "delete"]}}
}`

// newServer makes a core with the chart's settings, changed by those given. What is behind it is real: a
// distribution with htpasswd, and the job service.
func newServer(t *testing.T, changes environment) *Server {
	t.Helper()
	settings := environment{
		"EXT_ENDPOINT":                  "https://harbor.example.com",
		"CORE_URL":                      "http://harbor-core:80",
		"REGISTRY_URL":                  distribution(t),
		"JOBSERVICE_URL":                jobs(t),
		"REGISTRY_CREDENTIAL_USERNAME":  "harbor_registry_user",
		"REGISTRY_CREDENTIAL_PASSWORD":  "regpw",
		"TOKEN_PRIVATE_KEY_PATH":        filepath.Join(folder, "key.pem"),
		"SANDBOX_ROBOTS":                robots,
		"SANDBOX_PROJECTS":              `{"library": {}, "apps": {}, "open": {"public": true}}`,
		"SANDBOX_HEALTH_PERIOD_SECONDS": "0.01",
	}
	for name, value := range changes {
		settings[name] = value
	}
	config, err := FromEnvironment(func(name string) string { return settings[name] })
	if err != nil {
		t.Fatal(err)
	}
	server, err := New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	return server
}

var folder string // of all tests: the registry's storage, its users, core's key

func TestMain(m *testing.M) {
	slog.SetLogLoggerLevel(slog.LevelError)
	logrus.SetOutput(io.Discard) // the distribution's, until its configuration counts
	var err error
	if folder, err = os.MkdirTemp("", "harbor-core"); err != nil {
		panic(err)
	}
	if err := writeKey(filepath.Join(folder, "key.pem")); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(folder)
	os.Exit(code)
}

func writeKey(path string) error {
	key, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return err
	}
	block := pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}
	return os.WriteFile(path, pem.EncodeToMemory(&block), 0o600)
}

// One distribution for all tests: it counts its metrics in the process's only registry of them.
var distributionURL = sync.OnceValues(func() (string, error) {
	hash, err := bcrypt.GenerateFromPassword([]byte("regpw"), bcrypt.MinCost)
	if err != nil {
		return "", err
	}
	passwd := filepath.Join(folder, "passwd")
	if err := os.WriteFile(passwd, []byte("harbor_registry_user:"+string(hash)+"\n"), 0o600); err != nil {
		return "", err
	}
	text := fmt.Sprintf(`
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: %q}, delete: {enabled: true}}
auth: {htpasswd: {realm: harbor-registry-basic-realm, path: %q}}
`, filepath.Join(folder, "storage"), passwd)
	config, err := configuration.Parse(strings.NewReader(text))
	if err != nil {
		return "", err
	}
	mux := http.NewServeMux()
	mux.Handle("/v2/", handlers.NewApp(context.Background(), config))
	mux.HandleFunc("/{$}", func(http.ResponseWriter, *http.Request) {}) // as the program, for probes
	return httptest.NewServer(mux).URL, nil
})

func distribution(t *testing.T) string {
	t.Helper()
	address, err := distributionURL()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

func jobs(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(jobservice.New("http://harbor-core:80", time.Now))
	t.Cleanup(server.Close)
	return server.URL
}
