// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	clientconfig "github.com/siderolabs/talos/pkg/machinery/client/config"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"github.com/siderolabs/talos/pkg/machinery/config/configpatcher"
	"github.com/siderolabs/talos/pkg/machinery/config/generate"
	"github.com/siderolabs/talos/pkg/machinery/config/generate/secrets"
	"github.com/siderolabs/talos/pkg/machinery/config/machine"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/role"
)

const clientCertificateLife = 365 * 24 * time.Hour

type nodeSpec struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	Type    string `json:"type"`
}

type listFlag[T any] struct {
	list  []T
	parse func(string) (T, error)
}

func (l *listFlag[T]) String() string { return "" }

func (l *listFlag[T]) Set(text string) error {
	one, err := l.parse(text)
	if err == nil {
		l.list = append(l.list, one)
	}

	return err
}

func parseNode(text string) (nodeSpec, error) {
	name, rest, ok1 := strings.Cut(text, "=")
	address, kind, ok2 := strings.Cut(rest, ",")

	if !ok1 || !ok2 || kind != "controlplane" && kind != "worker" {
		return nodeSpec{}, errors.New("want NAME=ADDRESS,controlplane or NAME=ADDRESS,worker")
	}

	return nodeSpec{name, address, kind}, nil
}

// cluster is what gen is asked for.
type cluster struct {
	out, name, endpoint, talosconfig, context string
	talosVersion, kubernetesVersion           string
	podSubnet, serviceSubnet, domain          string
	nodes                                     listFlag[nodeSpec]
	patches                                   listFlag[string]
}

// gen writes to the directory --out: NAME.yaml for every node, members.json, os-ca.crt and os-ca.key, of a cluster with
// new secrets each time, and puts the contexts CONTEXT (os:admin) and CONTEXT-reader (os:reader) into the talosconfig
// file, beside those of others.
func gen(args []string) error {
	c := &cluster{nodes: listFlag[nodeSpec]{parse: parseNode}, patches: listFlag[string]{parse: readPatch}}

	flags := flag.NewFlagSet("talos-node gen", flag.ExitOnError)
	flags.StringVar(&c.out, "out", "", "`directory` for what it makes")
	flags.StringVar(&c.name, "cluster", "", "name of the cluster")
	flags.StringVar(&c.endpoint, "endpoint", "", "`URL` of the Kubernetes API")
	flags.StringVar(&c.talosconfig, "talosconfig", "", "talosconfig `file` to write contexts into")
	flags.StringVar(&c.context, "context", "", "`name` of the admin context (default: the cluster's)")
	flags.StringVar(&c.talosVersion, "talos-version", "v1.13.0", "`version` of Talos to write configurations for")
	flags.StringVar(&c.kubernetesVersion, "kubernetes-version", "1.36.3", "`version` of Kubernetes")
	flags.StringVar(&c.podSubnet, "pod-subnet", constants.DefaultIPv4PodNet, "`CIDR` of pods")
	flags.StringVar(&c.serviceSubnet, "service-subnet", constants.DefaultIPv4ServiceNet, "`CIDR` of services")
	flags.StringVar(&c.domain, "dns-domain", constants.DefaultDNSDomain, "cluster `domain`")
	flags.Var(&c.nodes, "node", "a node: `NAME=ADDRESS,controlplane|worker`; repeat")
	flags.Var(&c.patches, "patch", "strategic merge patch `file` for every node's configuration; repeat")
	flags.Parse(args) //nolint:errcheck // exits by itself

	for _, name := range []string{"out", "cluster", "endpoint", "talosconfig"} {
		if flags.Lookup(name).Value.String() == "" {
			return fmt.Errorf("--%s is required", name)
		}
	}

	if len(c.nodes.list) == 0 {
		return errors.New("--node is required")
	}

	if c.context == "" {
		c.context = c.name
	}

	return c.generate()
}

func readPatch(file string) (string, error) {
	text, err := os.ReadFile(file)

	return string(text), err
}

func (c *cluster) generate() error {
	contract, err := config.ParseContractFromVersion(c.talosVersion)
	if err != nil {
		return err
	}

	bundle, err := secrets.NewBundle(secrets.NewClock(), contract)
	if err != nil {
		return err
	}

	input, err := generate.NewInput(c.name, c.endpoint, c.kubernetesVersion,
		generate.WithVersionContract(contract),
		generate.WithSecretsBundle(bundle),
		generate.WithDNSDomain(c.domain),
		generate.WithInstallDisk("/dev/sda"),
		generate.WithInstallImage("ghcr.io/siderolabs/installer:"+c.talosVersion),
	)
	if err != nil {
		return err
	}

	input.PodNet, input.ServiceNet = []string{c.podSubnet}, []string{c.serviceSubnet}

	if err := os.MkdirAll(c.out, 0o700); err != nil {
		return err
	}

	for _, node := range c.nodes.list {
		if err := c.writeNode(input, contract, node); err != nil {
			return fmt.Errorf("%s: %w", node.Name, err)
		}
	}

	members, err := json.MarshalIndent(c.nodes.list, "", "  ")
	if err != nil {
		return err
	}

	for name, content := range map[string][]byte{
		"members.json": append(members, '\n'), "os-ca.crt": bundle.Certs.OS.Crt, "os-ca.key": bundle.Certs.OS.Key,
	} {
		if err := os.WriteFile(filepath.Join(c.out, name), content, 0o600); err != nil {
			return err
		}
	}

	return c.writeContexts(bundle)
}

func (c *cluster) writeNode(input *generate.Input, contract *config.VersionContract, node nodeSpec) error {
	kind, err := machine.ParseType(node.Type)
	if err != nil {
		return err
	}

	cfg, err := input.Config(kind)
	if err != nil {
		return err
	}

	hostname := fmt.Sprintf("machine: {network: {hostname: %s}}", node.Name)
	if contract.MultidocNetworkConfigSupported() {
		hostname = fmt.Sprintf("apiVersion: v1alpha1\nkind: HostnameConfig\nauto: off\nhostname: %s\n", node.Name)
	}

	patches, err := configpatcher.LoadPatches(append([]string{hostname}, c.patches.list...))
	if err != nil {
		return err
	}

	patched, err := configpatcher.Apply(configpatcher.WithConfig(cfg), patches)
	if err != nil {
		return err
	}

	text, err := patched.Bytes()
	if err != nil {
		return err
	}

	if _, err := configloader.NewFromBytes(text); err != nil {
		return err
	}

	return os.WriteFile(filepath.Join(c.out, node.Name+".yaml"), text, 0o600)
}

func (c *cluster) writeContexts(bundle *secrets.Bundle) error {
	file := &clientconfig.Config{}

	if _, err := os.Stat(c.talosconfig); err == nil {
		if file, err = clientconfig.Open(c.talosconfig); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}

	if file.Contexts == nil {
		file.Contexts = map[string]*clientconfig.Context{}
	}

	var endpoints, all []string

	for _, node := range c.nodes.list {
		all = append(all, node.Address)

		if node.Type == "controlplane" {
			endpoints = append(endpoints, node.Address)
		}
	}

	encode := base64.StdEncoding.EncodeToString

	for name, who := range map[string]role.Role{c.context: role.Admin, c.context + "-reader": role.Reader} {
		certificate, err := bundle.GenerateTalosAPIClientCertificateWithTTL(role.MakeSet(who), clientCertificateLife)
		if err != nil {
			return err
		}

		file.Contexts[name] = &clientconfig.Context{
			Endpoints: endpoints, Nodes: all, CA: encode(bundle.Certs.OS.Crt), Crt: encode(certificate.Crt), Key: encode(certificate.Key),
		}
	}

	if file.Context == "" {
		file.Context = c.context
	}

	return file.Save(c.talosconfig)
}
