// SPDX-License-Identifier: GPL-3.0-or-later

package node

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"

	"github.com/blang/semver/v4"
	"go.yaml.in/yaml/v3"
)

// What a node does otherwise than v1.13.0, whose answers were captured. The rest of the differences are where they belong,
// behind before. README.md lists all of them, with the sources that they were read in.

// before says whether the claimed version is older than minor (of Talos 1); a release candidate is of its minor version.
func (n *Node) before(minor uint64) bool {
	return n.release.Major == 1 && n.release.Minor < minor
}

// lockedApply says whether an ApplyConfiguration is refused while another one is at work, or has asked for a reboot.
func (n *Node) lockedApply() bool {
	if n.release.Minor == 12 {
		return n.release.GE(semver.MustParse("1.12.9"))
	}

	return n.release.GE(semver.MustParse("1.13.3"))
}

// kinds tells in which minor version of Talos 1 a kind of document came, of those that pkg/machinery knows.
var kinds = map[string]uint64{
	"BondConfig": 12, "BridgeConfig": 12, "DHCPv4Config": 12, "DHCPv6Config": 12, "DummyLinkConfig": 12, "HCloudVIPConfig": 12,
	"HostnameConfig": 12, "Layer2VIPConfig": 12, "LinkAliasConfig": 12, "LinkConfig": 12, "OOMConfig": 12,
	"RegistryAuthConfig": 12, "RegistryMirrorConfig": 12, "RegistryTLSConfig": 12, "ResolverConfig": 12, "StaticHostConfig": 12,
	"TimeSyncConfig": 12, "VLANConfig": 12, "WireguardConfig": 12,

	"BlackholeRouteConfig": 13, "EnvironmentConfig": 13, "ExternalVolumeConfig": 13, "ImageVerificationConfig": 13,
	"KubeSpanConfig": 13, "RoutingRuleConfig": 13, "TCPProbeConfig": 13, "VRFConfig": 13,
}

// known refuses the first document of a kind that the claimed version does not know.
func (n *Node) known(data []byte) error {
	for decoder := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var document yaml.Node
		if err := decoder.Decode(&document); err != nil { // the end, or broken: then Talos's own decoder says how
			return nil
		}

		var id struct {
			APIVersion string `yaml:"apiVersion"`
			Kind       string `yaml:"kind"`
			Name       string `yaml:"name"`
		}
		if document.Decode(&id) != nil || !n.before(kinds[id.Kind]) {
			continue
		}

		return fmt.Errorf("error decoding document %s/%s/%s (line %d): %q %q: not registered",
			id.APIVersion, id.Kind, id.Name, document.Content[0].Line, id.Kind, id.APIVersion)
	}
}

var (
	wrapped  = regexp.MustCompile(`^error decoding document .* \(line \d+\): `)
	atItsEnd = regexp.MustCompile(` \(line \d+\)$`)
)

// decodingError words it as the claimed version does: before 1.12 no error named the document and its line.
func (n *Node) decodingError(err error) error {
	if !n.before(12) {
		return err
	}

	return errors.New(atItsEnd.ReplaceAllString(wrapped.ReplaceAllString(err.Error(), ""), ""))
}

// basePart is the part of containerd's settings that Talos ships.
func (n *Node) basePart() string {
	const images = `version = 3

[plugins."io.containerd.cri.v1.images"]
  discard_unpacked_layers = true
  use_local_image_pull = true

`

	const devices = `[plugins."io.containerd.cri.v1.runtime"]
  enable_cdi = true
  cdi_spec_dirs = ["/run/cdi"]

`

	const runc = `[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  base_runtime_spec = "/etc/cri/conf.d/base-spec.json"

`

	const cgroup = `[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
  ShimCgroup = "/podruntime/shim"
`

	const withoutNRI = `[plugins."io.containerd.nri.v1.nri"]
  disable = true
`

	switch {
	case n.before(13):
		return images + runc + withoutNRI
	case n.before(14):
		return images + devices + runc + withoutNRI
	default:
		return images + devices + runc + cgroup
	}
}
