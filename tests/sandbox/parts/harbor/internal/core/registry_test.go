// SPDX-License-Identifier: GPL-3.0-or-later

package core

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/distribution/distribution/v3/registry/auth"
	registrytoken "github.com/distribution/distribution/v3/registry/auth/token"
	"github.com/go-jose/go-jose/v4"
)

const manifestType = "application/vnd.oci.image.manifest.v1+json"

// client speaks to core over the network with one Host and, once it has one, a token.
type client struct {
	t              *testing.T
	address        string
	host           string
	authorization  string
	forwardedProto string
}

func newClient(t *testing.T, server *Server) *client {
	t.Helper()
	listener := httptest.NewServer(server)
	t.Cleanup(listener.Close)
	return &client{t: t, address: listener.URL, host: "harbor-core"}
}

func (c *client) send(method, path, contentType string, body []byte) (*http.Response, []byte) {
	c.t.Helper()
	if parsed, err := url.Parse(path); err == nil && parsed.IsAbs() {
		path = parsed.RequestURI()
	}
	request, err := http.NewRequestWithContext(c.t.Context(), method, c.address+path, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	request.Host = c.host
	for name, value := range map[string]string{
		"Authorization": c.authorization, "Content-Type": contentType,
		"X-Forwarded-Proto": c.forwardedProto, "Accept": manifestType,
	} {
		if value != "" {
			request.Header.Set(name, value)
		}
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		c.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return response, text
}

func (c *client) login(name, password string, scopes ...string) {
	c.t.Helper()
	query := url.Values{"service": {service}, "scope": scopes}
	request := httptest.NewRequest("GET", c.address+"/service/token?"+query.Encode(), nil)
	request.RequestURI = ""
	if name != "" {
		request.SetBasicAuth(name, password)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		c.t.Fatal(err)
	}
	defer response.Body.Close()
	var answer tokenAnswer
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || response.StatusCode != http.StatusOK {
		c.t.Fatalf("token: %d %v", response.StatusCode, err)
	}
	c.authorization = "Bearer " + answer.Token
}

func (c *client) want(status int, method, path, contentType string, body []byte) *http.Response {
	c.t.Helper()
	response, text := c.send(method, path, contentType, body)
	if response.StatusCode != status {
		c.t.Fatalf("%s %s: %d, want %d: %s", method, path, response.StatusCode, status, text)
	}
	return response
}

func digestOf(data []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(data)) }

// push uploads an image of one layer in the client's way: POST, PATCH to the Location, PUT to the next.
func (c *client) push(repository, tag string, layer []byte) (manifestDigest string) {
	c.t.Helper()
	config := []byte(`{"architecture":"amd64","os":"linux"}`)
	for _, blob := range [][]byte{layer, config} {
		started := c.want(202, "POST", "/v2/"+repository+"/blobs/uploads/", "", nil)
		patched := c.want(202, "PATCH", started.Header.Get("Location"), "application/octet-stream", blob)
		end := patched.Header.Get("Location") + "&digest=" + url.QueryEscape(digestOf(blob))
		c.want(201, "PUT", end, "", nil)
	}
	text := []byte(fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,`+
		`"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":%d},`+
		`"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":%q,"size":%d}]}`,
		manifestType, digestOf(config), len(config), digestOf(layer), len(layer)))
	c.want(201, "PUT", "/v2/"+repository+"/manifests/"+tag, manifestType, text)
	return digestOf(text)
}

func TestPushPullDelete(t *testing.T) {
	c := newClient(t, newServer(t, nil))
	layer := bytes.Repeat([]byte("split horizon\n"), 1<<16)
	c.login("robot$ci", "push-secret", "repository:library/web:pull,push")
	pushed := c.push("library/web", "1", layer)

	c.login("robot$cluster-pull", "pull-secret", "repository:library/web:pull")
	if got := c.want(200, "GET", "/v2/library/web/manifests/1", "", nil).Header.Get("Docker-Content-Digest"); got != pushed {
		t.Errorf("manifest %s, want %s", got, pushed)
	}
	if _, got := c.send("GET", "/v2/library/web/blobs/"+digestOf(layer), "", nil); !bytes.Equal(got, layer) {
		t.Errorf("layer of %d bytes came back as %d", len(layer), len(got))
	}
	c.want(401, "POST", "/v2/library/web/blobs/uploads/", "", nil)
	c.want(401, "DELETE", "/v2/library/web/manifests/"+pushed, "", nil)

	c.login("robot$ci", "push-secret", "repository:library/web:delete")
	c.want(400, "DELETE", "/v2/library/web/manifests/1", "", nil)
	c.want(202, "DELETE", "/v2/library/web/manifests/"+pushed, "", nil)
	response, text := c.send("GET", "/v2/library/web/manifests/1", "", nil)
	if want := `"message":"artifact library/web:1 not found"`; response.StatusCode != 404 || !strings.Contains(string(text), want) {
		t.Errorf("%d %s", response.StatusCode, text)
	}
}

func TestUploadLocationHasTheClientsHostAndScheme(t *testing.T) {
	c := newClient(t, newServer(t, nil))
	c.login("robot$ci", "push-secret", "repository:library/web:push")
	for _, proto := range []string{"", "https"} {
		c.host, c.forwardedProto = "harbor.example.com", proto
		want := map[string]string{"": "http", "https": "https"}[proto] + "://harbor.example.com/v2/library/web/blobs/uploads/"
		got := c.want(202, "POST", "/v2/library/web/blobs/uploads/", "", nil).Header.Get("Location")
		if !strings.HasPrefix(got, want) {
			t.Errorf("X-Forwarded-Proto %q: %s, want %s…", proto, got, want)
		}
	}
}

// The token is given in every case; what it opens is another matter.
func TestWhatATokenOpens(t *testing.T) {
	server := newServer(t, nil)
	setup := newClient(t, server)
	setup.authorization = "Basic " + basicAuth("admin", "Harbor12345")
	for _, repository := range []string{"apps/token", "open/token"} {
		setup.push(repository, "1", []byte(repository))
	}
	for _, c := range []struct {
		name, password, repository string
		status                     int
	}{
		{"robot$cluster-pull", "pull-secret", "apps/token", 200},
		{"robot$cluster-pull", "wrong", "apps/token", 401},
		{"robot$cluster-pull", "wrong", "open/token", 200},
		{"robot$nobody", "x", "apps/token", 401},
		{"", "", "apps/token", 401},
		{"", "", "open/token", 200},
		{"robot$ci", "push-secret", "apps/token", 401},
		{"admin", "Harbor12345", "apps/token", 200},
	} {
		client := newClient(t, server)
		client.login(c.name, c.password, "repository:"+c.repository+":pull")
		response, text := client.send("GET", "/v2/"+c.repository+"/manifests/1", "", nil)
		if response.StatusCode != c.status {
			t.Errorf("%+v: %d %s", c, response.StatusCode, text)
		}
		if challenge := response.Header.Get("Www-Authenticate"); c.status == 401 && challenge != `Basic realm="harbor"` {
			t.Errorf("%+v: challenge %s", c, challenge)
		}
	}
}

func basicAuth(name, password string) string {
	request := httptest.NewRequest("GET", "/", nil)
	request.SetBasicAuth(name, password)
	return strings.TrimPrefix(request.Header.Get("Authorization"), "Basic ")
}

func TestARepositoryHasAProject(t *testing.T) {
	c := newClient(t, newServer(t, nil))
	c.login("admin", "Harbor12345", "repository:web:pull")
	c.want(400, "GET", "/v2/web/manifests/1", "", nil)
}

func TestTokenWithoutCredentialsAndScopesIsRefused(t *testing.T) {
	answer := httptest.NewRecorder()
	newServer(t, nil).ServeHTTP(answer, httptest.NewRequest("GET", "/service/token?service=harbor-registry", nil))
	if answer.Code != http.StatusUnauthorized {
		t.Errorf("%d", answer.Code)
	}
}

func TestAStrangersTokenOpensNothing(t *testing.T) {
	stranger, err := newTokens("")
	if err != nil {
		t.Fatal(err)
	}
	server := newServer(t, nil)
	all := []access{{Type: "repository", Name: "apps/web", Actions: actions}}
	for name, sign := range map[string]func() (string, error){
		"another key": func() (string, error) { return stranger.sign("admin", all, time.Now()) },
		"expired":     func() (string, error) { return server.tokens.sign("admin", all, time.Now().Add(-2*tokenLifetime)) },
	} {
		signed, err := sign()
		if err != nil {
			t.Fatal(err)
		}
		client := newClient(t, server)
		client.authorization = "Bearer " + signed
		if response, _ := client.send("GET", "/v2/", "", nil); response.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %d", name, response.StatusCode)
		}
	}
}

// A distribution that checks tokens itself takes ours: issuer, service, key id, claims.
func TestTokensAreAcceptedByADistributionsTokenAuth(t *testing.T) {
	server := newServer(t, nil)
	public := server.tokens.key.Public()
	signed, err := server.tokens.sign("robot$ci", []access{{"repository", "library/web", []string{"pull"}}}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := registrytoken.NewToken(signed, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	found, err := parsed.Verify(registrytoken.VerifyOptions{
		TrustedIssuers:    []string{issuer},
		AcceptedAudiences: []string{service},
		TrustedKeys:       map[string]crypto.PublicKey{registrytoken.GetJWKThumbprint(public): public},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := auth.Access{Resource: auth.Resource{Type: "repository", Name: "library/web"}, Action: "pull"}
	if len(found.Access) != 1 || found.Access[0].Name != want.Name || found.Access[0].Actions[0] != want.Action {
		t.Errorf("%+v", found.Access)
	}
}
