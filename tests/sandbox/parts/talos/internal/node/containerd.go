// SPDX-License-Identifier: GPL-3.0-or-later

package node

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/google/uuid"
	"github.com/pelletier/go-toml/v2"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/merge"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/resources/cri"
	"github.com/siderolabs/talos/pkg/machinery/resources/files"
)

const (
	hostsDir          = constants.EtcCRIConfdPath + "/hosts"
	basePartFile      = constants.EtcCRIConfdPath + "/00-base.part"
	customizationFile = "/etc/" + constants.CRICustomizationConfigPart
)

// part is a piece of cri.toml, and what its header calls it.
type part struct {
	origin  string
	content []byte
}

// installParts lays the parts that a boot alone writes. From 1.14 on the customization is no file any more.
func (b *boot) installParts(cfg config.Provider) error {
	if err := writeChanged(b.path(basePartFile), []byte(b.basePart()), 0o644); err != nil {
		return err
	}

	if !b.before(14) { // a node that was upgraded has them still
		for _, name := range []string{customizationFile, "/etc/" + constants.CRIRegistryConfigPart} {
			if err := os.RemoveAll(b.path(name)); err != nil {
				return err
			}
		}

		return nil
	}

	content, _, err := customization(cfg)
	if err != nil {
		return err
	}

	return writeChanged(b.path(customizationFile), content, 0o644)
}

// customization gives the content of the machine file that adds to containerd's settings.
func customization(cfg config.Provider) (content []byte, found bool, err error) {
	machineFiles, err := cfg.Machine().Files()
	if err != nil {
		return nil, false, err
	}

	for _, file := range machineFiles {
		if file.Path() == customizationFile {
			return []byte(file.Content()), true, nil
		}
	}

	return nil, false, nil
}

// writeRegistries writes credentials and hosts.toml files, when mirrors, credentials or TLS differ from before or after
// a boot: only then are other directories beside Talos's own swept away. So it is before 1.14.
func (b *boot) writeRegistries(cfg config.Provider) error {
	wanted := registries(cfg)

	changed, err := b.setRegistries(wanted)
	if err != nil || !changed {
		return err
	}

	content, err := registriesPart(wanted)
	if err != nil {
		return err
	}

	tree, err := hostsTree(wanted, hostsDir)
	if err != nil {
		return err
	}

	return errors.Join(b.etcFile(constants.CRIRegistryConfigPart, content, 0o600), syncTree(b.path(hostsDir), tree))
}

// writeCRIConfig merges the parts into cri.toml, before 1.14.
func (b *boot) writeCRIConfig() error {
	parts, err := b.physicalParts("")
	if err != nil {
		return err
	}

	return b.writeParts(parts)
}

// writeCRI is the one controller for all of this that 1.14 has: registries and customization are no parts on the disk,
// each of them has cri.toml written, and the hosts.toml files swept.
func (b *boot) writeCRI(cfg config.Provider) error {
	wanted := registries(cfg)

	changed, err := b.setRegistries(wanted)
	if err != nil {
		return err
	}

	custom, customized, err := customization(cfg)
	if err != nil || !changed && bytes.Equal(custom, b.customization) {
		return err
	}

	b.customization = custom

	parts, err := b.physicalParts("file ")
	if err != nil {
		return err
	}

	content, err := registriesPart(wanted)
	if err != nil {
		return err
	}

	parts[filepath.Base(constants.CRIRegistryConfigPart)] = part{"in-memory registries", content}

	if customized {
		parts[filepath.Base(customizationFile)] = part{`in-memory customization "customization"`, custom}
	}

	if err := b.writeParts(parts); err != nil {
		return err
	}

	tree, err := hostsTree(wanted, hostsDir)
	if err != nil {
		return err
	}

	return syncTree(b.path(hostsDir), tree)
}

func (b *boot) physicalParts(prefix string) (map[string]part, error) {
	found, err := filepath.Glob(b.path(constants.EtcCRIConfdPath + "/*.part"))
	if err != nil {
		return nil, err
	}

	parts := map[string]part{}

	for _, file := range found {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}

		name := filepath.Base(file)
		parts[name] = part{prefix + filepath.Join(constants.EtcCRIConfdPath, name), content}
	}

	return parts, nil
}

// writeParts merges the parts in the order of their names into cri.toml.
func (b *boot) writeParts(parts map[string]part) error {
	var header bytes.Buffer

	merged := map[string]any{}

	for _, name := range slices.Sorted(maps.Keys(parts)) {
		one, partial := parts[name], map[string]any{}

		if err := toml.Unmarshal(one.content, &partial); err != nil {
			return fmt.Errorf("error decoding %q: %w", name, err)
		}

		if err := merge.Merge(merged, partial); err != nil {
			return fmt.Errorf("error merging %q: %w", name, err)
		}

		fmt.Fprintf(&header, "## %s (sha256:%x)\n", one.origin, sha256.Sum256(one.content))
	}

	body, err := indented(merged)
	if err != nil {
		return err
	}

	return b.etcFile(constants.CRIConfig, slices.Concat(header.Bytes(), []byte("\n"), body), 0o600)
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

// startCRI tells the pod runtime, by a new stamp, that containerd has started and with it reads cri.toml again.
func (b *boot) startCRI() error {
	now := time.Now()
	b.criStarted.Store(&now)
	b.criVersions = b.criFiles()

	return writeAtomically(filepath.Join(b.State, "cri-start"), []byte(uuid.NewString()+"\n"), 0o644)
}

// restartCRI restarts containerd where its files are not those that it was started with, as Talos does from 1.14 on.
func (b *boot) restartCRI() error {
	if b.before(14) || b.criVersions == nil || slices.Equal(b.criVersions, b.criFiles()) {
		return nil
	}

	return b.startCRI()
}

// criFiles gives the versions of the files that containerd reads at its start.
func (b *boot) criFiles() (versions []string) {
	for _, name := range []string{constants.CRIConfig, constants.CRIBaseRuntimeSpec} {
		status, err := safe.StateGetByID[*files.EtcFileStatus](context.Background(), b.resources, name)
		if err != nil {
			return nil
		}

		versions = append(versions, status.TypedSpec().SpecVersion)
	}

	return versions
}
