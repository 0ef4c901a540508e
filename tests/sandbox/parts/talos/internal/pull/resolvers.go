// SPDX-License-Identifier: GPL-3.0-or-later

package pull

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/pelletier/go-toml/v2"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/resources/cri"
)

// talosHosts is Talos's rule: the mirrors of the registry, else those of "*", then the registry itself over https.
func (n Node) talosHosts(registries cri.Registries) docker.RegistryHosts {
	return func(host string) ([]docker.RegistryHost, error) {
		endpoints, err := talosEndpoints(registries, host)
		if err != nil {
			return nil, err
		}

		hosts := make([]docker.RegistryHost, 0, len(endpoints))

		for _, endpoint := range endpoints {
			one, err := n.talosHost(registries, host, endpoint)
			if err != nil {
				return nil, err
			}

			hosts = append(hosts, one)
		}

		return hosts, nil
	}
}

type endpoint struct {
	url          string
	overridePath bool
}

func talosEndpoints(registries cri.Registries, host string) ([]endpoint, error) {
	mirror, ok := registries.Mirrors()[host]
	if !ok {
		mirror, ok = registries.Mirrors()["*"]
	}

	var endpoints []endpoint

	if ok {
		for _, e := range mirror.Endpoints() {
			endpoints = append(endpoints, endpoint{e.Endpoint(), e.OverridePath()})
		}

		if mirror.SkipFallback() {
			return endpoints, nil
		}
	}

	upstream, err := docker.DefaultHost(host)
	if err != nil {
		return nil, fmt.Errorf("error getting default host for %q: %w", host, err)
	}

	return append(endpoints, endpoint{url: "https://" + upstream}), nil
}

func (n Node) talosHost(registries cri.Registries, registry string, e endpoint) (docker.RegistryHost, error) {
	u, err := url.Parse(e.url)
	if err != nil {
		return docker.RegistryHost{}, fmt.Errorf("error parsing endpoint %q for host %q: %w", e.url, registry, err)
	}

	tlsConfig, hasTLS := registries.TLSs()[u.Host]
	if hasTLS && u.Scheme != "https" {
		return docker.RegistryHost{}, fmt.Errorf("TLS config specified for non-HTTPS registry: %q", u.Host)
	}

	transport := &http.Transport{
		Proxy:                 nil, // the sandbox's networks are closed
		DialContext:           n.dial(nil),
		ForceAttemptHTTP2:     true,
		DisableKeepAlives:     true,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
	}

	if hasTLS {
		if transport.TLSClientConfig, err = tlsConfig.GetTLSConfig(); err != nil {
			return docker.RegistryHost{}, fmt.Errorf("error preparing TLS config for %q: %w", u.Host, err)
		}
	}

	client := &http.Client{Transport: transport}
	auth, hasAuth := registries.Auths()[u.Host]

	return docker.RegistryHost{
		Client:       client,
		Host:         u.Host,
		Scheme:       u.Scheme,
		Path:         apiPath(u.Path, e.overridePath),
		Capabilities: docker.HostCapabilityResolve | docker.HostCapabilityPull,
		Authorizer: docker.NewDockerAuthorizer(docker.WithAuthClient(client), docker.WithAuthCreds(
			func(asked string) (string, string, error) {
				if !hasAuth || asked != u.Host {
					return "", "", nil
				}

				return Auth{
					Username: auth.Username(), Password: auth.Password(), Auth: auth.Auth(), IdentityToken: auth.IdentityToken(),
				}.credentials(asked)
			})),
	}, nil
}

func apiPath(given string, override bool) string {
	if given == "" {
		if override {
			return ""
		}

		return "/v2"
	}

	given = path.Clean(given)
	if override || strings.HasSuffix(given, "/v2") {
		return given
	}

	return given + "/v2"
}

// credentials gives user name and secret for host, in containerd's order of preference.
func (a Auth) credentials(host string) (username, secret string, err error) {
	if a.ServerAddress != "" {
		u, err := url.Parse(a.ServerAddress)
		if err != nil {
			return "", "", fmt.Errorf("parse server address: %w", err)
		}

		if u.Host != host {
			return "", "", nil
		}
	}

	switch {
	case a.Username != "":
		return a.Username, a.Password, nil
	case a.IdentityToken != "":
		return "", a.IdentityToken, nil
	case a.Auth != "":
		decoded, err := base64.StdEncoding.DecodeString(a.Auth)
		if err != nil {
			return "", "", fmt.Errorf("error parsing auth for %q: %w", host, err)
		}

		username, secret, ok := strings.Cut(string(decoded), ":")
		if !ok {
			return "", "", fmt.Errorf("invalid decoded auth for %q", host)
		}

		return username, strings.Trim(secret, "\x00"), nil
	default:
		return "", "", fmt.Errorf("invalid auth config for %q", host)
	}
}

// StartCRI reads the credentials of cri.toml as containerd does at its start. No file means none.
func (n Node) StartCRI() (*CRI, error) {
	c := &CRI{node: n, stamp: "never started"}

	return c, c.restartIfTold()
}

// restartIfTold reads cri.toml again if containerd has been started anew.
func (c *CRI) restartIfTold() error {
	c.mu.Lock()
	defer c.mu.Unlock()

	stamp, err := os.ReadFile(filepath.Join(c.node.State, "cri-start"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}

	if string(stamp) == c.stamp {
		return nil
	}

	auths, err := c.node.criAuths()
	if err == nil {
		c.stamp, c.auths = string(stamp), auths
	}

	return err
}

func (n Node) criAuths() (map[string]Auth, error) {
	content, err := os.ReadFile(filepath.Join(n.Root, constants.EtcCRIConfdPath, "cri.toml"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}

	var file struct {
		Plugins map[string]struct {
			Registry struct {
				Configs map[string]struct {
					Auth *Auth `toml:"auth"`
				} `toml:"configs"`
			} `toml:"registry"`
		} `toml:"plugins"`
	}
	if err := toml.Unmarshal(content, &file); err != nil {
		return nil, fmt.Errorf("cri.toml: %w", err)
	}

	auths := map[string]Auth{}

	for host, entry := range file.Plugins["io.containerd.cri.v1.images"].Registry.Configs {
		if entry.Auth != nil {
			auths[host] = *entry.Auth
		}
	}

	return auths, nil
}

func (c *CRI) credentials(request *Auth) func(string) (string, string, error) {
	c.mu.Lock()
	auths := c.auths // replaced as a whole, never changed
	c.mu.Unlock()

	return func(host string) (string, string, error) {
		if request != nil {
			return request.credentials(host)
		}

		if auth, ok := auths[host]; ok {
			return auth.credentials(host)
		}

		return "", "", nil
	}
}

// criHosts gives containerd's own hosts.toml resolver over the node's files. Call cleanup when the pull is over.
//
// hosts.toml names certificates by absolute path of the node, which only exists below Root: hence the copy.
func (n Node) criHosts(ctx context.Context, credentials func(string) (string, string, error)) (docker.RegistryHosts, func(), error) {
	dir, err := n.relocatedHosts()
	if err != nil {
		return nil, nil, err
	}

	return config.ConfigureHosts(ctx, config.HostOptions{
		HostDir:     config.HostDirFromRoot(dir),
		Credentials: credentials,
		UpdateClient: func(client *http.Client) error {
			if transport, ok := client.Transport.(*http.Transport); ok {
				transport.Proxy = nil
				transport.DialContext = n.dial(transport.DialContext)
			}

			return nil
		},
	}), func() { os.RemoveAll(dir) }, nil //nolint:errcheck // a leftover temporary directory harms nobody
}

func (n Node) relocatedHosts() (string, error) {
	const hosts = constants.EtcCRIConfdPath + "/hosts"

	from := filepath.Join(n.Root, hosts)

	dir, err := os.MkdirTemp(n.State, ".hosts-")
	if err != nil {
		return "", err
	}

	err = filepath.WalkDir(from, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}

		relative, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}

		target := filepath.Join(dir, relative)
		if entry.IsDir() {
			return os.MkdirAll(target, 0o700)
		}

		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}

		if entry.Name() == "hosts.toml" {
			content = []byte(strings.NewReplacer(
				"'"+hosts+"/", "'"+dir+"/",
				`"`+hosts+"/", `"`+dir+"/",
			).Replace(string(content)))
		}

		return os.WriteFile(target, content, 0o600)
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		os.RemoveAll(dir) //nolint:errcheck

		return "", err
	}

	return dir, nil
}
