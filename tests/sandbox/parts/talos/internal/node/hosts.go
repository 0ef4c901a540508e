// SPDX-License-Identifier: GPL-3.0-or-later

package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/resources/cri"
)

// registries gives the mirrors, credentials and TLS settings of a configuration, documents over v1alpha1.
func registries(cfg config.Provider) *cri.RegistriesConfigSpec {
	spec := &cri.RegistriesConfigSpec{
		RegistryMirrors: map[string]*cri.RegistryMirrorConfig{},
		RegistryAuths:   map[string]*cri.RegistryAuthConfig{},
		RegistryTLSs:    map[string]*cri.RegistryTLSConfig{},
	}

	for name, mirror := range cfg.RegistryMirrorConfigs() {
		entry := &cri.RegistryMirrorConfig{MirrorSkipFallback: mirror.SkipFallback()}
		for _, e := range mirror.Endpoints() {
			entry.MirrorEndpoints = append(entry.MirrorEndpoints, cri.RegistryEndpointConfig{
				EndpointEndpoint: e.Endpoint(), EndpointOverridePath: e.OverridePath(),
			})
		}

		spec.RegistryMirrors[name] = entry
	}

	for name, auth := range cfg.RegistryAuthConfigs() {
		spec.RegistryAuths[name] = &cri.RegistryAuthConfig{
			RegistryUsername: auth.Username(), RegistryPassword: auth.Password(),
			RegistryAuth: auth.Auth(), RegistryIdentityToken: auth.IdentityToken(),
		}
	}

	for name, tls := range cfg.RegistryTLSConfigs() {
		spec.RegistryTLSs[name] = &cri.RegistryTLSConfig{
			TLSCA: tls.CA(), TLSInsecureSkipVerify: tls.InsecureSkipVerify(), TLSClientIdentity: tls.ClientIdentity(),
		}
	}

	return spec
}

// setRegistries stores the resource that pulls and files follow, and says whether it differs from before.
func (b *boot) setRegistries(spec *cri.RegistriesConfigSpec) (changed bool, err error) {
	ctx := context.Background()

	old, err := safe.StateGet[*cri.RegistriesConfig](ctx, b.resources, cri.NewRegistriesConfig().Metadata())
	if err != nil && !state.IsNotFoundError(err) {
		return false, err
	}

	if err == nil && reflect.DeepEqual(old.TypedSpec(), spec) {
		return false, nil
	}

	return true, modify(ctx, b.resources, cri.NewRegistriesConfig(), func(r *cri.RegistriesConfig) { *r.TypedSpec() = *spec })
}

// registries gives them as the active configuration has them now.
func (b *boot) registries() cri.Registries {
	res, err := safe.StateGet[*cri.RegistriesConfig](context.Background(), b.resources, cri.NewRegistriesConfig().Metadata())
	if err != nil {
		return &cri.RegistriesConfigSpec{}
	}

	return res.TypedSpec()
}

// Settings of one host in hosts.toml; the order of the fields is that of the file. Exported for go-toml, which skips
// embedded structures that are not.
type Settings struct {
	Capabilities []string    `toml:"capabilities,omitempty"`
	OverridePath bool        `toml:"override_path,omitempty"`
	CA           string      `toml:"ca,omitempty"`
	Client       [][2]string `toml:"client,omitempty"`
	SkipVerify   bool        `toml:"skip_verify,omitempty"`
}

type hostEntry struct {
	url string
	Settings
}

// directory holds the files of one registry by name.
type directory map[string][]byte

// hostsTree gives the directories below base with their files; all files have mode 0600, all directories 0700.
func hostsTree(registries cri.Registries, base string) (map[string]directory, error) {
	tree := map[string]directory{}

	for name, mirror := range registries.Mirrors() {
		dir := directory{}
		tree[hostDirectory(name)] = dir

		var hosts []hostEntry

		for _, endpoint := range mirror.Endpoints() {
			u, err := url.Parse(endpoint.Endpoint())
			if err != nil {
				return nil, fmt.Errorf("error parsing endpoint %q for host %q: %w", endpoint.Endpoint(), name, err)
			}

			host := hostEntry{url: endpoint.Endpoint()}
			host.Capabilities = []string{"pull", "resolve"}
			host.OverridePath = endpoint.OverridePath()
			dir.trust(&host.Settings, registries, u.Host, filepath.Join(base, hostDirectory(name)))

			hosts = append(hosts, host)
		}

		var server *hostEntry

		if last := len(hosts) - 1; mirror.SkipFallback() && last >= 0 {
			server, hosts = &hosts[last], hosts[:last]
		}

		if err := dir.render(server, hosts); err != nil {
			return nil, err
		}
	}

	return tree, addTLSOnly(tree, registries, base)
}

// addTLSOnly adds the registries that have TLS settings but no mirror.
func addTLSOnly(tree map[string]directory, registries cri.Registries, base string) error {
	for name, tls := range registries.TLSs() {
		path := hostDirectory(name)
		if _, ok := tree[path]; ok || tls.CA() == nil && tls.ClientIdentity() == nil && !tls.InsecureSkipVerify() {
			continue
		}

		if name == "*" {
			return errors.New("wildcard host TLS configuration is not supported")
		}

		upstream, err := docker.DefaultHost(name)
		if err != nil {
			return err
		}

		dir := directory{}
		server := &hostEntry{url: "https://" + upstream}
		dir.trust(&server.Settings, registries, name, filepath.Join(base, path))

		if err := dir.render(server, nil); err != nil {
			return err
		}

		tree[path] = dir
	}

	return nil
}

// hostDirectory names the directory of a registry: "*" is _default, host:port is host_port_.
func hostDirectory(registry string) string {
	if registry == "*" {
		return "_default"
	}

	if colon := strings.LastIndex(registry, ":"); colon > 0 {
		return registry[:colon] + "_" + registry[colon+1:] + "_"
	}

	return registry
}

// trust adds what the TLS settings of host ask for: fields of hosts.toml, and certificates as files at path.
func (d directory) trust(to *Settings, registries cri.Registries, host, path string) {
	tls, ok := registries.TLSs()[host]
	if !ok {
		return
	}

	to.SkipVerify = tls.InsecureSkipVerify()

	if ca := tls.CA(); ca != nil {
		d[host+"-ca.crt"] = ca
		to.CA = filepath.Join(path, host+"-ca.crt")
	}

	if identity := tls.ClientIdentity(); identity != nil {
		crt, key := host+"-client.crt", host+"-client.key"
		d[crt], d[key] = identity.Crt, identity.Key
		to.Client = [][2]string{{filepath.Join(path, crt), filepath.Join(path, key)}}
	}
}

// render writes hosts.toml: the server's settings, then the hosts in their order. The order is what counts, and a TOML
// encoder keeps none between the keys of a table: so each host is encoded on its own.
func (d directory) render(server *hostEntry, hosts []hostEntry) error {
	var text bytes.Buffer

	if server != nil {
		part, err := indented(struct {
			Server string `toml:"server,omitempty"`
			Settings
		}{server.url, server.Settings})
		if err != nil {
			return err
		}

		text.Write(part)
	}

	for i, host := range hosts {
		part, err := indented(map[string]any{"host": map[string]any{host.url: host.Settings}})
		if err != nil {
			return err
		}

		if i > 0 {
			part = bytes.TrimPrefix(part, []byte("[host]\n"))
		}

		text.Write(part)
	}

	d["hosts.toml"] = text.Bytes()

	return nil
}

// syncTree makes the directories below base those of tree, and nothing else. A key with a slash in it (a mirror named by
// a URL) makes a directory that is then swept away as unknown.
func syncTree(base string, tree map[string]directory) error {
	for name, files := range tree {
		path := filepath.Join(base, name)
		if err := os.MkdirAll(path, 0o700); err != nil {
			return err
		}

		for file, content := range files {
			if err := writeChanged(filepath.Join(path, file), content, 0o600); err != nil {
				return err
			}
		}

		if err := sweep(path, func(file string) bool { _, ok := files[file]; return ok }); err != nil {
			return err
		}
	}

	return sweep(base, func(name string) bool { _, ok := tree[name]; return ok })
}

func sweep(path string, keep func(string) bool) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}

	for _, entry := range entries {
		if !keep(entry.Name()) {
			if err := os.RemoveAll(filepath.Join(path, entry.Name())); err != nil {
				return err
			}
		}
	}

	return nil
}
