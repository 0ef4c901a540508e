// SPDX-License-Identifier: GPL-3.0-or-later

// pod-runtime is a container runtime (CRI v1) for namespaces of our own: it needs no cgroups, no image file systems
// and no right beyond those of the root user of a user namespace. See README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

const usage = `usage:
  pod-runtime serve --node-name … --node-root … --run-dir … --pod-cidr … --node-ip … --images … --bin … [--state …]
  pod-runtime join --node-name … --run-dir … -- <program> [argument …]
`

// The main goroutine stays on the main thread: it is the one that executes other programs, and what a parent asked of the
// kernel for this process (to die with it) is a property of that thread.
func init() { runtime.LockOSThread() }

func main() {
	if len(os.Args) < 2 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}

	commands := map[string]func([]string) error{
		"serve":      serve,
		"join":       join,
		stageNode:    buildNode,
		stageServe:   serveInside,
		stageInit:    containerInit,
		stageExecute: execute,
	}

	command, ok := commands[os.Args[1]]
	if !ok {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}

	err := command(os.Args[2:])

	var status exitStatus
	if errors.As(err, &status) {
		os.Exit(int(status))
	}

	if err != nil {
		fmt.Fprintln(os.Stderr, "pod-runtime:", err)
		os.Exit(1)
	}
}

// exitStatus ends the process with a program's own status, without a word.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// options are the same for `serve` and for the stage of it that runs inside the node's file system.
type options struct {
	NodeName, NodeRoot, RunDir, PodCIDR, NodeIP string
	Images, Bin, State, Resolver, SystemCA      string
}

func parseOptions(arguments []string) (options, error) {
	var o options

	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	flags.StringVar(&o.NodeName, "node-name", "", "name of the node")
	flags.StringVar(&o.NodeRoot, "node-root", "", "directory that is / for the kubelet, and for hostPath volumes")
	flags.StringVar(&o.RunDir, "run-dir", "", "directory for the socket cri.sock and for node.pid; below a private /run")
	flags.StringVar(&o.PodCIDR, "pod-cidr", "", "addresses of this node's pods, for example 10.244.1.0/24")
	flags.StringVar(&o.NodeIP, "node-ip", "", "address of the node: where host ports listen, and what pods see as its source")
	flags.StringVar(&o.Images, "images", "", "table of known images (images.yaml)")
	flags.StringVar(&o.Bin, "bin", "", "directory of the programs that the table names")
	flags.StringVar(&o.State, "state", "", "directory of the node's image store, shared with talos-node (default: <run-dir>)")
	flags.StringVar(&o.Resolver, "resolver", "", "DNS server for pulls, host:port; none: only the node's /etc/hosts")
	flags.StringVar(&o.SystemCA, "system-ca", "", "PEM file that pulls trust in place of the system's certificates")

	if err := flags.Parse(arguments); err != nil {
		return o, err
	}

	required := map[string]string{
		"node-name": o.NodeName, "node-root": o.NodeRoot, "run-dir": o.RunDir, "pod-cidr": o.PodCIDR,
		"node-ip": o.NodeIP, "images": o.Images, "bin": o.Bin,
	}
	for name, value := range required {
		if value == "" {
			return o, fmt.Errorf("--%s is required", name)
		}
	}

	if o.State == "" {
		o.State = o.RunDir
	}

	for _, path := range []*string{&o.NodeRoot, &o.RunDir, &o.Images, &o.Bin, &o.State, &o.SystemCA} {
		if *path == "" {
			continue
		}

		absolute, err := filepath.Abs(*path)
		if err != nil {
			return o, err
		}

		*path = absolute
	}

	return o, nil
}

// serve makes or finds the node's mount namespace and goes on inside it, as stageServe.
func serve(arguments []string) error {
	o, err := parseOptions(arguments)
	if err != nil {
		return err
	}

	if err := os.MkdirAll(o.RunDir, 0o755); err != nil {
		return err
	}

	if err := ensureNode(o); err != nil {
		return fmt.Errorf("node file system: %w", err)
	}

	return execInNode(o, "/proc/self/exe", append([]string{"pod-runtime", stageServe}, arguments...))
}

// join runs a program in the node's mount namespace: paths of its arguments are paths of the node.
func join(arguments []string) error {
	var o options

	flags := flag.NewFlagSet("join", flag.ContinueOnError)
	flags.StringVar(&o.NodeName, "node-name", "", "name of the node")
	flags.StringVar(&o.RunDir, "run-dir", "", "the --run-dir of this node's pod-runtime")

	if err := flags.Parse(arguments); err != nil {
		return err
	}

	if o.NodeName == "" || o.RunDir == "" || flags.NArg() == 0 {
		return errors.New(strings.TrimSpace(usage))
	}

	return execInNode(o, flags.Arg(0), flags.Args())
}

// serveInside is pod-runtime at work, in the node's mount namespace.
func serveInside(arguments []string) error {
	o, err := parseOptions(arguments)
	if err != nil {
		return err
	}

	log := slog.New(slog.NewTextHandler(os.Stderr, nil))

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()

	pods, err := newRuntime(o, log)
	if err != nil {
		return err
	}

	return pods.serve(ctx, filepath.Join(o.RunDir, "cri.sock"), "/run/containerd/containerd.sock")
}
