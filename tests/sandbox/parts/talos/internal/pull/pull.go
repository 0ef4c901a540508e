// SPDX-License-Identifier: GPL-3.0-or-later

// Package pull fetches images the way a Talos node does, on its two paths:
//
//   - AsTalos: machined's own resolver, straight from the machine configuration (kubelet, etcd, `talosctl image pull`);
//   - CRI.Pull: containerd's resolver over the node's /etc/cri/conf.d/hosts (what the kubelet asks for).
//
// Every blob is fetched and its digest verified, then dropped: only names, digests and sizes are kept (see store.go).
// Names resolve by the node's own /etc/hosts, then by its DNS server, never by the machine the sandbox runs on.
package pull

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/siderolabs/go-retry/retry"
	"github.com/siderolabs/talos/pkg/machinery/resources/cri"
)

// Containerd namespaces of a Talos node.
const (
	NamespaceCRI    = "k8s.io"
	NamespaceSystem = "system"
)

// Talos's own retry of a pull (image.Pull in Talos v1.13).
const (
	talosTimeout = 20 * time.Minute
	talosUnit    = 5 * time.Second
)

// Node says where a node's files are and how it resolves names.
type Node struct {
	Root     string // its file system, "" for /
	State    string // directory of images.json and pulls.jsonl
	Resolver string // DNS server, host:port; "" when it has none
	Once     bool   // a pull as Talos is tried once, as from 1.14 on
}

// TrustOnly makes file the system trust store of this process. Call it before the first TLS connection.
func TrustOnly(file string) error {
	if _, err := os.Stat(file); err != nil {
		return fmt.Errorf("system CA: %w", err)
	}

	return errors.Join(os.Setenv("SSL_CERT_FILE", file), os.Setenv("SSL_CERT_DIR", os.DevNull))
}

// AsTalos pulls ref by the machine configuration's mirrors, TLS and credentials, into the containerd namespace.
//
// Like the original before 1.14 it goes on retrying whatever is not "not found" until ctx ends or 20 minutes have passed;
// it asks no registry for an image that is there already.
func (n Node) AsTalos(ctx context.Context, registries func() cri.Registries, namespace, ref string) (Image, error) {
	named, err := reference.ParseDockerRef(ref)
	if err != nil {
		return Image{}, fmt.Errorf("failed to parse image reference %q: %w", ref, err)
	}

	if image, found, err := n.Image(namespace, named.String()); err != nil || found {
		return image, err
	}

	if n.Once {
		return n.asTalosOnce(ctx, registries(), namespace, named)
	}

	var image Image

	err = retry.Exponential(talosTimeout, retry.WithUnits(talosUnit)).RetryWithContext(ctx, func(ctx context.Context) error {
		var err error

		image, err = n.asTalosOnce(ctx, registries(), namespace, named)
		if err == nil || errdefs.IsNotFound(err) {
			return err
		}

		return retry.ExpectedError(err)
	})

	return image, err
}

func (n Node) asTalosOnce(ctx context.Context, registries cri.Registries, namespace string, named reference.Named) (Image, error) {
	image, err := n.fetch(ctx, "talos", namespace, named, n.talosHosts(registries))
	if err != nil {
		err = fmt.Errorf("failed to pull image %q: %w", named.String(), err)
	}

	return image, err
}

// CRI is containerd as the kubelet sees it: it holds the credentials that cri.toml had when it started last.
//
// The node server says when it starts (at a boot; from Talos 1.14 on, also when cri.toml changes) by a new stamp in the
// file cri-start of the state directory.
type CRI struct {
	node Node

	mu    sync.Mutex
	stamp string
	auths map[string]Auth
}

// Auth is what a CRI request or cri.toml carries; see runtime.v1.AuthConfig.
type Auth struct {
	Username      string `toml:"username"`
	Password      string `toml:"password"`
	Auth          string `toml:"auth"`
	IdentityToken string `toml:"identitytoken"`
	ServerAddress string `toml:"-"`
}

// Pull fetches ref by the hosts.toml files as they are now. Credentials: auth when the request has them,
// else those of cri.toml. One attempt; the kubelet repeats. The error wraps errdefs.ErrNotFound where it applies.
func (c *CRI) Pull(ctx context.Context, ref string, auth *Auth) (Image, error) {
	named, err := reference.ParseDockerRef(ref)
	if err != nil {
		return Image{}, fmt.Errorf("failed to parse image reference %q: %w", ref, err)
	}

	if err := c.restartIfTold(); err != nil {
		return Image{}, err
	}

	hosts, cleanup, err := c.node.criHosts(ctx, c.credentials(auth))
	if err != nil {
		return Image{}, err
	}
	defer cleanup()

	image, err := c.node.fetch(ctx, "cri", NamespaceCRI, named, hosts)
	if err != nil {
		return Image{}, fmt.Errorf("failed to pull and unpack image %q: %w", named.String(), err)
	}

	return image, nil
}

// fetch resolves and fetches one image through hosts, records it in the store and the attempt in pulls.jsonl.
func (n Node) fetch(ctx context.Context, by, namespace string, named reference.Named, hosts docker.RegistryHosts) (Image, error) {
	started := time.Now()
	trail := &trail{}
	fetcher := &fetcher{
		resolver: docker.NewResolver(docker.ResolverOptions{Hosts: trail.follow(hosts)}),
		known:    func(digest string) (Image, bool) { return n.known(namespace, digest) },
	}

	image, err := fetcher.fetch(ctx, named)
	if err == nil {
		err = n.record(namespace, named, &image)
	}

	n.log(trail.entry(by, named.String(), image, started, err))

	return image, err
}
