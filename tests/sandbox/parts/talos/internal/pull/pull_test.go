// SPDX-License-Identifier: GPL-3.0-or-later

package pull

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/miekg/dns"
	"github.com/siderolabs/talos/pkg/machinery/resources/cri"
)

const (
	user, password = "robot$pull", "secret"
	layer          = "not much of a layer"
	imageConfig    = `{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`
)

func digestOf(blob string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(blob))) }

func descriptor(kind, blob string) string {
	return fmt.Sprintf(`{"mediaType":"application/vnd.oci.image.%s","digest":%q,"size":%d}`, kind, digestOf(blob), len(blob))
}

var manifest = fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":%s,"layers":[%s]}`,
	descriptor("config.v1+json", imageConfig), descriptor("layer.v1.tar", layer))

// registry holds library/app:1, behind a password; requests counts what came with it, forged spoils the layer.
type registry struct {
	forged   bool
	requests int
}

func (r *registry) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if u, p, _ := request.BasicAuth(); u != user || p != password {
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		w.WriteHeader(http.StatusUnauthorized)

		return
	}

	r.requests++

	body := map[string]string{
		"manifests/1": manifest, "manifests/" + digestOf(manifest): manifest,
		"blobs/" + digestOf(imageConfig): imageConfig, "blobs/" + digestOf(layer): layer,
	}[strings.TrimPrefix(request.URL.Path, "/v2/library/app/")]

	switch {
	case body == "":
		http.Error(w, `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`, http.StatusNotFound)

		return
	case body == manifest:
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		w.Header().Set("Docker-Content-Digest", digestOf(manifest))
	case body == layer && r.forged:
		body = strings.ToUpper(layer)
	}

	http.ServeContent(w, request, "", time.Time{}, strings.NewReader(body))
}

// place is a node with nothing on it.
func place(t *testing.T) Node {
	t.Helper()

	dir := t.TempDir()
	node := Node{Root: filepath.Join(dir, "root"), State: filepath.Join(dir, "state")}

	must(t, os.MkdirAll(filepath.Join(node.Root, "etc/cri/conf.d/hosts"), 0o755))
	must(t, os.MkdirAll(node.State, 0o755))

	return node
}

func write(t *testing.T, node Node, name, text string) {
	t.Helper()

	name = filepath.Join(node.Root, name)
	must(t, os.MkdirAll(filepath.Dir(name), 0o755))
	must(t, os.WriteFile(name, []byte(text), 0o600))
}

func must(t *testing.T, err error) {
	t.Helper()

	if err != nil {
		t.Fatal(err)
	}
}

func host(t *testing.T, server *httptest.Server) (name, port string) {
	t.Helper()

	u, err := url.Parse(server.URL)
	must(t, err)

	return u.Hostname(), u.Port()
}

func certificate(server *httptest.Server) string {
	var text bytes.Buffer

	pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}) //nolint:errcheck

	return text.String()
}

// mirrored are registries where registry.example.com is mirrored by the endpoint alone, with the credentials for it.
func mirrored(endpoint string) *cri.RegistriesConfigSpec {
	u, _ := url.Parse(endpoint) //nolint:errcheck

	return &cri.RegistriesConfigSpec{
		RegistryMirrors: map[string]*cri.RegistryMirrorConfig{"registry.example.com": {
			MirrorEndpoints: []cri.RegistryEndpointConfig{{EndpointEndpoint: endpoint}}, MirrorSkipFallback: true,
		}},
		RegistryAuths: map[string]*cri.RegistryAuthConfig{u.Host: {RegistryUsername: user, RegistryPassword: password}},
		RegistryTLSs:  map[string]*cri.RegistryTLSConfig{},
	}
}

func asTalos(t *testing.T, node Node, registries *cri.RegistriesConfigSpec) (Image, error) {
	t.Helper()

	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()

	return node.AsTalos(ctx, func() cri.Registries { return registries }, NamespaceCRI, "registry.example.com/library/app:1")
}

func entries(t *testing.T, node Node) (list []Entry) {
	t.Helper()

	text, err := os.ReadFile(filepath.Join(node.State, "pulls.jsonl"))
	must(t, err)

	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		var one Entry

		must(t, json.Unmarshal([]byte(line), &one))
		list = append(list, one)
	}

	return list
}

func TestTalosPullsThroughTheMirrorOfItsConfiguration(t *testing.T) {
	content := &registry{}
	server := httptest.NewServer(content)
	defer server.Close()

	_, port := host(t, server)
	node := place(t)
	write(t, node, "etc/hosts", "127.0.0.1 mirror.internal\n")

	image, err := asTalos(t, node, mirrored("http://mirror.internal:"+port))
	must(t, err)

	if want := "registry.example.com/library/app@" + digestOf(manifest); image.RepoDigest() != want || image.ID != digestOf(imageConfig) {
		t.Errorf("%+v", image)
	}

	names, err := node.Images(NamespaceCRI)
	must(t, err)

	if len(names) != 4 {
		t.Errorf("%+v", names)
	}

	entry := entries(t, node)[0]
	if entry.By != "talos" || entry.URL != "http://mirror.internal:"+port || entry.IP != "127.0.0.1" || entry.Digest != image.Digest {
		t.Errorf("%+v", entry)
	}

	before := content.requests
	_, err = asTalos(t, node, mirrored("http://mirror.internal:"+port))
	must(t, err)

	if content.requests != before {
		t.Error("an image that is there was asked for again")
	}
}

func TestTalosRefusesTLSSettingsForHTTP(t *testing.T) {
	registries := mirrored("http://mirror.internal")
	registries.RegistryTLSs["mirror.internal"] = &cri.RegistryTLSConfig{TLSInsecureSkipVerify: true}

	node := place(t)

	if _, err := asTalos(t, node, registries); err == nil {
		t.Fatal("no error")
	}

	if text := entries(t, node)[0].Error; !strings.Contains(text, `TLS config specified for non-HTTPS registry: "mirror.internal"`) {
		t.Error(text)
	}
}

func TestTalosRetriesWhatIsNotNotFound(t *testing.T) {
	server := httptest.NewServer(&registry{})
	defer server.Close()

	node := place(t)
	registries := mirrored(server.URL)

	for _, auth := range registries.RegistryAuths {
		auth.RegistryPassword = "wrong"
	}

	started := time.Now()

	if _, err := asTalos(t, node, registries); err == nil || time.Since(started) < 900*time.Millisecond {
		t.Errorf("gave up after %v: %v", time.Since(started), err)
	}

	_, err := node.AsTalos(t.Context(), func() cri.Registries { return mirrored(server.URL) }, NamespaceCRI, "registry.example.com/library/app:2")
	if !errdefs.IsNotFound(err) {
		t.Error(err)
	}
}

func TestForgedLayerIsRefused(t *testing.T) {
	server := httptest.NewServer(&registry{forged: true})
	defer server.Close()

	node := place(t)

	if _, err := asTalos(t, node, mirrored(server.URL)); err == nil {
		t.Fatal("no error")
	}

	if text := entries(t, node)[0].Error; !strings.Contains(text, "unexpected commit digest") {
		t.Error(text)
	}
}

// withHostsToml makes registry.example.com, on the node's paths, a mirror by server with its certificate.
func withHostsToml(t *testing.T, node Node, server *httptest.Server) {
	t.Helper()

	const dir = "/etc/cri/conf.d/hosts/registry.example.com"

	name, port := host(t, server)
	write(t, node, dir+"/ca.crt", certificate(server))
	write(t, node, dir+"/hosts.toml", fmt.Sprintf("[host]\n  [host.'https://%s:%s']\n    capabilities = ['pull', 'resolve']\n    ca = '%s/ca.crt'\n", name, port, dir))
}

func withAuth(t *testing.T, node Node, server *httptest.Server, secret string) {
	t.Helper()

	name, port := host(t, server)
	write(t, node, "etc/cri/conf.d/cri.toml", fmt.Sprintf(
		"[plugins.'io.containerd.cri.v1.images'.registry.configs.'%s:%s'.auth]\nusername = '%s'\npassword = '%s'\n", name, port, user, secret))
}

func TestCRIPullsThroughHostsToml(t *testing.T) {
	content := &registry{}
	server := httptest.NewTLSServer(content)
	defer server.Close()

	node := place(t)
	withHostsToml(t, node, server)
	withAuth(t, node, server, password)

	runtime, err := node.StartCRI()
	must(t, err)

	image, err := runtime.Pull(t.Context(), "registry.example.com/library/app:1", nil)
	must(t, err)

	if image.Digest != digestOf(manifest) || image.Cached {
		t.Errorf("%+v", image)
	}

	before := content.requests
	image, err = runtime.Pull(t.Context(), "registry.example.com/library/app:1", nil)
	must(t, err)

	if !image.Cached || content.requests != before+1 {
		t.Errorf("%d requests for an image that is there: %+v", content.requests-before, image)
	}

	if leftover, _ := filepath.Glob(filepath.Join(node.State, ".hosts-*")); len(leftover) > 0 {
		t.Error(leftover)
	}
}

func TestCRIReadsCredentialsAtItsStartOnly(t *testing.T) {
	server := httptest.NewTLSServer(&registry{})
	defer server.Close()

	node := place(t)
	withHostsToml(t, node, server)
	withAuth(t, node, server, "old")

	runtime, err := node.StartCRI()
	must(t, err)

	pull := func(auth *Auth) error {
		_, err := runtime.Pull(t.Context(), "registry.example.com/library/app:1", auth)

		return err
	}

	withAuth(t, node, server, password)

	if err := pull(nil); err == nil {
		t.Error("new credentials are used without a start of containerd")
	}

	must(t, pull(&Auth{Username: user, Password: password}))
	must(t, os.WriteFile(filepath.Join(node.State, "cri-start"), []byte("again"), 0o600))
	must(t, pull(nil))

	if err := pull(&Auth{Username: user, Password: "wrong"}); err == nil {
		t.Error("the request's credentials do not count before those of cri.toml")
	}
}

func TestNamesComeFromTheNodesHostsFileThenFromItsServer(t *testing.T) {
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)

	server := &dns.Server{PacketConn: socket, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, question *dns.Msg) {
		answer := new(dns.Msg).SetReply(question)

		if question.Question[0].Name == "known.example.com." && question.Question[0].Qtype == dns.TypeA {
			record, _ := dns.NewRR("known.example.com. 30 IN A 192.0.2.1") //nolint:errcheck
			answer.Answer = append(answer.Answer, record)
		}

		w.WriteMsg(answer) //nolint:errcheck
	})}

	go server.ActivateAndServe() //nolint:errcheck
	defer server.Shutdown()      //nolint:errcheck

	node := place(t)
	node.Resolver = socket.LocalAddr().String()
	write(t, node, "etc/hosts", "192.0.2.7 first.example.com second.example.com\nnot-an-ip third.example.com\n")

	for name, want := range map[string]string{
		"second.example.com": "[192.0.2.7]", "known.example.com": "[192.0.2.1]", "192.0.2.9": "[192.0.2.9]",
		"third.example.com": "[]", "localhost": "[]",
	} {
		got, err := node.Lookup(t.Context(), name)
		if fmt.Sprint(got) != want {
			t.Errorf("%s: %v %v", name, got, err)
		}
	}

	_, err = node.Lookup(t.Context(), "third.example.com")
	if want := fmt.Sprintf("lookup third.example.com on %s: no such host", node.Resolver); err == nil || err.Error() != want {
		t.Error(err)
	}
}
