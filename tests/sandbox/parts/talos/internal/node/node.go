// SPDX-License-Identifier: GPL-3.0-or-later

// Package node plays machined and apid of one Talos node: its API, its configuration and the files it writes.
//
// Configuration, resources, roles and wire formats are Talos's own (pkg/machinery); what is written here is how the
// node acts on them, as measured on Talos v1.13.0; versions.go tells where other versions act otherwise.
package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/blang/semver/v4"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"

	"splithorizon.example/sandbox/talos/internal/pull"
)

// Options of one node.
type Options struct {
	Name         string        // host name, unless the configuration sets one
	Address      string        // its IP; the API listens on port 50000 there
	Root         string        // directory that is the node's /
	State        string        // configuration, image store, control.json
	Config       string        // machine configuration of the first start
	OSCA         string        // directory with os-ca.crt and os-ca.key, for nodes whose configuration has no CA key (trustd's part)
	Members      string        // JSON list of the cluster's nodes, "" for this one alone
	Resolver     string        // DNS server for pulls, host:port
	TalosVersion string        // the version it claims, and acts like where versions differ
	RebootTime   time.Duration // how long the API is away in a reboot
}

// Node is one running node.
type Node struct {
	Options

	release semver.Version
	images  pull.Node
}

// New prepares a node; Run starts it.
func New(options Options) (*Node, error) {
	release, err := semver.ParseTolerant(options.TalosVersion)
	if err != nil {
		return nil, fmt.Errorf("Talos version %q: %w", options.TalosVersion, err)
	}

	for _, dir := range []string{options.Root, options.State} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}

	node := &Node{Options: options, release: release}
	node.images = pull.Node{Root: options.Root, State: options.State, Resolver: options.Resolver, Once: !node.before(14)}

	return node, nil
}

// Run boots the node and serves its API until ctx ends. A reboot asked for by the API is a boot anew in the same process.
func (n *Node) Run(ctx context.Context) error {
	for {
		boot, err := n.boot()
		if err != nil {
			return fmt.Errorf("boot: %w", err)
		}

		if err := boot.serve(ctx); err != nil || ctx.Err() != nil {
			return err
		}

		log.Printf("rebooting")

		select {
		case <-ctx.Done():
			return nil
		case <-time.After(n.RebootTime):
		}
	}
}

func (n *Node) configFile() string { return filepath.Join(n.State, "config.yaml") }

// persisted gives the configuration to boot with: the stored one, on the first start the given one.
func (n *Node) persisted() (config.Provider, error) {
	text, err := os.ReadFile(n.configFile())
	if errors.Is(err, fs.ErrNotExist) {
		if text, err = os.ReadFile(n.Config); err == nil {
			err = writeAtomically(n.configFile(), text, 0o600)
		}
	}

	if err != nil {
		return nil, err
	}

	return configloader.NewFromBytes(text)
}

func writeAtomically(name string, content []byte, mode os.FileMode) error {
	if err := os.WriteFile(name+".new", content, mode); err != nil {
		return err
	}

	return os.Rename(name+".new", name)
}
