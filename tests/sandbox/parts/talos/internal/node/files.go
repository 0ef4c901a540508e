// SPDX-License-Identifier: GPL-3.0-or-later

package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/resources/files"
)

// controller is a part of Talos that keeps some of the node's files in line with the configuration.
type controller struct {
	name string
	step func(config.Provider) error
}

func (b *boot) controllers() []controller {
	list := []controller{
		{"network.EtcFileController", b.writeEtcHosts},
		{"network.HostDNSConfigController", b.describeHostDNS},
		{"files.CRIBaseRuntimeSpecController", b.writeBaseSpec},
	}

	if b.before(14) {
		return append(list,
			controller{"files.CRIRegistryConfigController", b.writeRegistries},
			controller{"files.CRIConfigPartsController", func(config.Provider) error { return b.writeCRIConfig() }})
	}

	return append(list,
		controller{"files.CRIConfigController", b.writeCRI},
		controller{"cri.ServiceController", func(config.Provider) error { return b.restartCRI() }})
}

// reconcile brings the node's files in line with cfg. As in Talos, a controller that fails is logged and leaves its files
// as they were; the request that set the configuration has succeeded all the same.
func (b *boot) reconcile(cfg config.Provider) {
	for _, one := range b.controllers() {
		if err := one.step(cfg); err != nil {
			log.Printf("controller failed {\"controller\": %q}: %v", one.name, err)
		}
	}
}

// hostname is the configured one, else the one the machine was started with.
func (b *boot) hostname(cfg config.Provider) string {
	if set := cfg.NetworkHostnameConfig(); set != nil && set.Hostname() != "" {
		return set.Hostname()
	}

	return b.Name
}

func (b *boot) writeEtcHosts(cfg config.Provider) error {
	var text bytes.Buffer

	table := tabwriter.NewWriter(&text, 0, 0, 1, ' ', 0)
	row := func(address, names string) { fmt.Fprintf(table, "%s\t%s\n", address, names) } //nolint:errcheck

	own := b.hostname(cfg)
	if short, _, dotted := strings.Cut(own, "."); dotted {
		own += " " + short
	}

	row("127.0.0.1", "localhost")
	row(b.Address, own)
	row("::1", "localhost ip6-localhost ip6-loopback")
	row("ff02::1", "ip6-allnodes")
	row("ff02::2", "ip6-allrouters")

	for _, host := range b.extraHosts(cfg) {
		row(host.address, strings.Join(host.names, " "))
	}

	if err := table.Flush(); err != nil {
		return err
	}

	return b.etcFile("hosts", text.Bytes(), 0o644)
}

type extraHost struct {
	address string
	names   []string
}

// extraHosts gives one line per address, in the addresses' order; before 1.12 one per entry, in the configuration's.
func (b *boot) extraHosts(cfg config.Provider) (list []extraHost) {
	names := map[string][]string{}

	for _, host := range cfg.NetworkStaticHostConfig() {
		names[host.IP()] = append(names[host.IP()], host.Aliases()...)
		list = append(list, extraHost{host.IP(), host.Aliases()})
	}

	if b.before(12) {
		return list
	}

	list = nil
	for _, address := range slices.Sorted(maps.Keys(names)) {
		list = append(list, extraHost{address, names[address]})
	}

	return list
}

// etcFile writes a file below /etc and the resources that tell of it.
func (b *boot) etcFile(name string, content []byte, mode os.FileMode) error {
	ctx := context.Background()

	spec := files.NewEtcFileSpec(files.NamespaceName, name)
	err := modify(ctx, b.resources, spec, func(r *files.EtcFileSpec) {
		r.TypedSpec().Contents = content
		r.TypedSpec().Mode = mode
		r.TypedSpec().SelinuxLabel = constants.EtcSelinuxLabel
	})
	if err != nil {
		return err
	}

	if err := writeChanged(b.path("/etc/"+name), content, mode); err != nil {
		return err
	}

	current, err := safe.StateGet[*files.EtcFileSpec](ctx, b.resources, spec.Metadata())
	if err != nil {
		return err
	}

	return modify(ctx, b.resources, files.NewEtcFileStatus(files.NamespaceName, name), func(r *files.EtcFileStatus) {
		r.TypedSpec().SpecVersion = current.Metadata().Version().String()
	})
}

// modify creates or updates a resource; its version grows only when it differs.
func modify[R resource.Resource](ctx context.Context, st state.State, empty R, change func(R)) error {
	err := safe.StateModify(ctx, st, empty, func(r R) error {
		change(r)

		return nil
	})
	if err != nil {
		return fmt.Errorf("error modifying resource: %w", err)
	}

	return nil
}

// writeChanged writes name, below directories made as needed, unless it has that content already.
func writeChanged(name string, content []byte, mode os.FileMode) error {
	old, err := os.ReadFile(name)
	if err == nil && bytes.Equal(old, content) {
		return nil
	}

	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}

	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}

	return os.WriteFile(name, content, mode)
}
