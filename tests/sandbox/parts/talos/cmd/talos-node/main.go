// SPDX-License-Identifier: GPL-3.0-or-later

// Command talos-node plays one Talos node: `talos-node --address … --root … --state … --config …`.
// `talos-node fleet FILE` plays many in one process. `talos-node gen` makes the configurations and certificates of a
// cluster's nodes. `talos-node containerd` pulls as a node's containerd does.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"splithorizon.example/sandbox/talos/internal/node"
	"splithorizon.example/sandbox/talos/internal/pull"
)

var commands = map[string]func([]string) error{"gen": gen, "fleet": fleet, "containerd": containerd}

func main() {
	log.SetFlags(log.LstdFlags | log.Lmicroseconds)

	run := serve
	args := os.Args[1:]

	if len(args) > 0 {
		if command, ok := commands[args[0]]; ok {
			run, args = command, args[1:]
		}
	}

	if err := run(args); err != nil {
		fmt.Fprintln(os.Stderr, "talos-node:", err)
		os.Exit(1)
	}
}

func serve(args []string) error {
	var (
		options  node.Options
		systemCA string
	)

	flags := flag.NewFlagSet("talos-node", flag.ExitOnError)
	flags.StringVar(&options.Name, "name", "talos", "host name, unless the configuration sets one")
	flags.StringVar(&options.Address, "address", "", "the node's `IP`; the API listens on port 50000 there")
	flags.StringVar(&options.Root, "root", "", "`directory` that is the node's /")
	flags.StringVar(&options.State, "state", "", "`directory` of the stored configuration, images.json, pulls.jsonl, control.json")
	flags.StringVar(&options.Config, "config", "", "machine configuration `file` of the first start")
	flags.StringVar(&options.OSCA, "os-ca", "", "`directory` with os-ca.crt and os-ca.key, for workers")
	flags.StringVar(&options.Members, "members", "", "JSON `file` with the cluster's nodes, as gen writes it")
	flags.StringVar(&options.Resolver, "resolver", "", "DNS server for pulls, `host:port`")
	flags.StringVar(&options.TalosVersion, "talos-version", "v1.13.0", "`version` it claims and acts like")
	flags.DurationVar(&options.RebootTime, "reboot-time", 2*time.Second, "how long the API is away in a reboot")
	flags.StringVar(&systemCA, "system-ca", "", "PEM `file` with the CAs that the node's system trusts")
	flags.Parse(args) //nolint:errcheck // exits by itself

	for _, name := range []string{"address", "root", "state", "config"} {
		if flags.Lookup(name).Value.String() == "" {
			return fmt.Errorf("--%s is required", name)
		}
	}

	if systemCA != "" {
		if err := pull.TrustOnly(systemCA); err != nil {
			return err
		}
	}

	one, err := node.New(options)
	if err != nil {
		return err
	}

	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()

	return one.Run(ctx)
}
