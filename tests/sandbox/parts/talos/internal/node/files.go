// SPDX-License-Identifier: GPL-3.0-or-later

package node

import (
	"bytes"
	"context"
	"crypto/sha256"
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

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/pelletier/go-toml/v2"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/merge"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/resources/cri"
	"github.com/siderolabs/talos/pkg/machinery/resources/files"
)

const hostsDir = constants.EtcCRIConfdPath + "/hosts"

// basePart is the part of containerd's settings that Talos ships.
const basePart = `version = 3

[plugins."io.containerd.cri.v1.images"]
  discard_unpacked_layers = true
  use_local_image_pull = true

[plugins."io.containerd.cri.v1.runtime"]
  enable_cdi = true
  cdi_spec_dirs = ["/run/cdi"]

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  base_runtime_spec = "/etc/cri/conf.d/base-spec.json"

[plugins."io.containerd.nri.v1.nri"]
  disable = true
`

// reconcile brings the node's files in line with cfg. As in Talos, a part that fails is logged and leaves its files as
// they were; the request that set the configuration has succeeded all the same.
func (b *boot) reconcile(cfg config.Provider) {
	for name, step := range map[string]func(config.Provider) error{
		"network.EtcFileController":          b.writeEtcHosts,
		"files.CRIRegistryConfigController":  b.writeRegistries,
		"files.CRIBaseRuntimeSpecController": b.writeBaseSpec,
	} {
		if err := step(cfg); err != nil {
			log.Printf("controller failed {\"controller\": %q}: %v", name, err)
		}
	}

	if err := b.writeCRIConfig(); err != nil {
		log.Printf("controller failed {\"controller\": \"files.CRIConfigPartsController\"}: %v", err)
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

	extra := map[string][]string{}
	for _, host := range cfg.NetworkStaticHostConfig() {
		extra[host.IP()] = append(extra[host.IP()], host.Aliases()...)
	}

	for _, address := range slices.Sorted(maps.Keys(extra)) {
		row(address, strings.Join(extra[address], " "))
	}

	if err := table.Flush(); err != nil {
		return err
	}

	return b.etcFile("hosts", text.Bytes(), 0o644)
}

// writeRegistries writes credentials and hosts.toml files, when mirrors, credentials or TLS differ from before or after
// a boot: only then are other directories beside Talos's own swept away.
func (b *boot) writeRegistries(cfg config.Provider) error {
	changed, err := b.setRegistries(registries(cfg))
	if err != nil || !changed {
		return err
	}

	wanted := registries(cfg)

	part, err := registriesPart(wanted)
	if err != nil {
		return err
	}

	tree, err := hostsTree(wanted, hostsDir)
	if err != nil {
		return err
	}

	return errors.Join(b.etcFile(constants.CRIRegistryConfigPart, part, 0o600), syncTree(b.path(hostsDir), tree))
}

func registriesPart(registries cri.Registries) ([]byte, error) {
	type auth struct {
		Username      string `toml:"username"`
		Password      string `toml:"password"`
		Auth          string `toml:"auth"`
		IdentityToken string `toml:"identitytoken"`
	}

	configs := map[string]any{}

	for name, given := range registries.Auths() {
		host, _ := docker.DefaultHost(name) //nolint:errcheck // never fails

		configs[host] = map[string]any{"auth": auth{given.Username(), given.Password(), given.Auth(), given.IdentityToken()}}
	}

	type registry struct {
		ConfigPath string         `toml:"config_path"`
		Configs    map[string]any `toml:"configs"`
	}

	return indented(map[string]any{"plugins": map[string]any{
		"io.containerd.cri.v1.images": map[string]any{"registry": registry{ConfigPath: hostsDir, Configs: configs}},
	}})
}

func indented(value any) ([]byte, error) {
	var text bytes.Buffer

	err := toml.NewEncoder(&text).SetIndentTables(true).Encode(value)

	return text.Bytes(), err
}

// writeCRIConfig merges the parts into cri.toml. From 1.14 on containerd is restarted for a change of it.
func (b *boot) writeCRIConfig() error {
	parts, err := filepath.Glob(b.path(constants.EtcCRIConfdPath + "/*.part"))
	if err != nil {
		return err
	}

	var header bytes.Buffer

	merged := map[string]any{}

	for _, part := range parts { // Glob sorts
		text, err := os.ReadFile(part)
		if err != nil {
			return err
		}

		partial := map[string]any{}
		if err := toml.Unmarshal(text, &partial); err != nil {
			return fmt.Errorf("error decoding %q: %w", part, err)
		}

		if err := merge.Merge(merged, partial); err != nil {
			return fmt.Errorf("error merging %q: %w", part, err)
		}

		fmt.Fprintf(&header, "## %s (sha256:%x)\n", filepath.Join(constants.EtcCRIConfdPath, filepath.Base(part)), sha256.Sum256(text))
	}

	body, err := indented(merged)
	if err != nil {
		return err
	}

	text := slices.Concat(header.Bytes(), []byte("\n"), body)

	before, err := os.ReadFile(b.path("/etc/" + constants.CRIConfig))
	restart := err == nil && !b.before(14) && !bytes.Equal(before, text)

	if err := b.etcFile(constants.CRIConfig, text, 0o600); err != nil || !restart {
		return err
	}

	return b.startCRI()
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
