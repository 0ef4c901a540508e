// SPDX-License-Identifier: GPL-3.0-or-later

package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/client"
	machinetype "github.com/siderolabs/talos/pkg/machinery/config/machine"
	configres "github.com/siderolabs/talos/pkg/machinery/resources/config"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// of starts a control plane node of a version; its configuration is one that v1.11 knows.
func of(t *testing.T, version string) (*lab, Options, *admin) {
	t.Helper()

	l := newLab(t, "v1.11")
	options := l.options(machinetype.TypeControlPlane, version)
	l.start(options)

	return l, options, l.admin(options.Address)
}

func read(t *testing.T, options Options, name string) string {
	t.Helper()

	text, err := os.ReadFile(filepath.Join(options.Root, name))
	must(t, err)

	return string(text)
}

func said(t *testing.T, err error, code codes.Code, message string) {
	t.Helper()

	if got := status.Convert(err); got.Code() != code || got.Message() != message {
		t.Fatalf("got %v, want %v %s", err, code, message)
	}
}

const (
	mirrorDocument = "apiVersion: v1alpha1\nkind: RegistryMirrorConfig\nname: a\nendpoints: [{url: 'http://a'}]\n"
	withAuth       = "machine: {registries: {config: {a: {auth: {username: u, password: p}}}}}"
	customized     = "machine: {files: [{path: /etc/cri/conf.d/20-customization.part, op: create, permissions: 420, content: 'oom_score = 7'}]}"
)

func TestDocumentsAreRefusedInTheWordsOfTheVersion(t *testing.T) {
	environment := "apiVersion: v1alpha1\nkind: EnvironmentConfig\nvariables: {A: b}\n"

	for version, cases := range map[string]map[string]string{
		"v1.11.6": {
			mirrorDocument: `"RegistryMirrorConfig" "v1alpha1": not registered`,
			environment:    `"EnvironmentConfig" "v1alpha1": not registered`,
		},
		"v1.12.11": {
			mirrorDocument: "",
			environment:    `error decoding document v1alpha1/EnvironmentConfig/ (line %d): "EnvironmentConfig" "v1alpha1": not registered`,
		},
		"v1.13.0":      {mirrorDocument: "", environment: ""},
		"v1.14.0-rc.1": {mirrorDocument: "", environment: ""},
	} {
		_, _, node := of(t, version)

		text, err := node.config(configres.ActiveID).Bytes()
		must(t, err)

		for document, want := range cases {
			if strings.Contains(want, "%d") {
				want = fmt.Sprintf(want, strings.Count(string(text), "\n")+2)
			}

			_, err := node.ApplyConfiguration(t.Context(), &machine.ApplyConfigurationRequest{
				Data: []byte(string(text) + "---\n" + document), Mode: modeNoReboot,
			})
			if want == "" {
				must(t, err)

				continue
			}

			said(t, err, codes.InvalidArgument, want)
		}
	}
}

func TestTheSameDocumentTwiceHasNoLineBefore112(t *testing.T) {
	twice := "apiVersion: v1alpha1\nkind: WatchdogTimerConfig\ndevice: /dev/watchdog0\n"

	for version, want := range map[string]string{
		"v1.11.6":  "duplicate document v1alpha1/WatchdogTimerConfig/ is not allowed",
		"v1.12.11": "duplicate document v1alpha1/WatchdogTimerConfig/ is not allowed (line 5)",
	} {
		_, _, node := of(t, version)

		_, err := node.ApplyConfiguration(t.Context(), &machine.ApplyConfigurationRequest{Data: []byte(twice + "---\n" + twice)})
		said(t, err, codes.InvalidArgument, want)
	}
}

func TestOnlyFrom113ThereIsAnImageService(t *testing.T) {
	for version, there := range map[string]bool{"v1.12.11": false, "v1.13.0": true} {
		_, _, node := of(t, version)

		list, err := node.ImageClient.List(t.Context(), &machine.ImageServiceListRequest{})
		must(t, err)

		_, err = list.Recv()
		equal(t, errors.Is(err, io.EOF), there) // no image yet
		equal(t, status.Code(err) == codes.Unimplemented, !there)
	}
}

func TestHostEntriesAreSortedAndJoinedFrom112(t *testing.T) {
	entries := "machine: {network: {extraHostEntries: [{ip: 10.0.0.2, aliases: [b]}, {ip: 10.0.0.1, aliases: [a]}, {ip: 10.0.0.2, aliases: [c]}]}}"

	for version, want := range map[string][]string{
		"v1.11.6":  {"10.0.0.2 b", "10.0.0.1 a", "10.0.0.2 c"},
		"v1.12.11": {"10.0.0.1 a", "10.0.0.2 b c"},
	} {
		_, options, node := of(t, version)
		node.apply(entries, nil)

		var got []string
		for line := range strings.Lines(read(t, options, "/etc/hosts")) {
			if strings.HasPrefix(line, "10.") {
				got = append(got, strings.Join(strings.Fields(line), " "))
			}
		}

		equal(t, got, want)
	}
}

func TestOneApplyAtATime(t *testing.T) {
	for version, locked := range map[string]bool{
		"v1.11.6": false, "v1.12.8": false, "v1.12.9": true, "v1.13.2": false, "v1.13.3": true, "v1.14.0-rc.1": true,
	} {
		_, options, node := of(t, version)
		tell(t, options, `{"after-apply": {"action": "hang", "times": 1}}`)

		request := &machine.ApplyConfigurationRequest{Mode: modeNoReboot}

		var err error
		request.Data, err = node.config(configres.ActiveID).Bytes()
		must(t, err)

		go node.ApplyConfiguration(t.Context(), request) //nolint:errcheck // it hangs until the test ends
		eventually(t, func() bool {
			text, err := os.ReadFile(filepath.Join(options.State, "control.json"))

			return err == nil && !strings.Contains(string(text), "hang")
		})

		_, err = node.ApplyConfiguration(t.Context(), request)
		if locked {
			said(t, err, codes.FailedPrecondition, "another apply configuration is already in progress")
		} else {
			must(t, err)
		}
	}
}

func TestAfterAChangeThatRebootsNothingElseIsTaken(t *testing.T) {
	l := newLab(t, "v1.11")
	options := l.options(machinetype.TypeControlPlane, "v1.13.9")
	l.start(options)
	node := l.admin(options.Address)

	text, err := node.config(configres.ActiveID).Bytes()
	must(t, err)

	_, err = node.ApplyConfiguration(t.Context(), &machine.ApplyConfigurationRequest{Data: text, Mode: modeReboot})
	must(t, err)
	_, err = node.ApplyConfiguration(t.Context(), &machine.ApplyConfigurationRequest{Data: text, Mode: modeNoReboot})
	said(t, err, codes.FailedPrecondition,
		"configuration was already applied and node is rebooting, cannot apply more configuration changes until next reboot")

	eventually(t, func() bool {
		_, err := node.ApplyConfiguration(t.Context(), &machine.ApplyConfigurationRequest{Data: text, Mode: modeNoReboot})

		return err == nil
	})
}

func TestTheRebootMode(t *testing.T) {
	for _, version := range []string{"v1.11.6", "v1.12.11", "v1.13.0"} {
		_, options, node := of(t, version)
		before := bootID(t, options)
		node.apply(mirror("a"), inMode(modeReboot))
		eventually(t, func() bool { return bootID(t, options) != before })
	}

	_, options, node := of(t, "v1.14.0")
	before := bootID(t, options)
	_, err := node.send("machine: {}", inMode(modeReboot))
	said(t, err, codes.Unimplemented, "the REBOOT mode is not supported, please use AUTO or NO_REBOOT modes instead")

	answer, err := node.send("machine: {env: {A: b}}", inMode(modeAuto))
	must(t, err)
	equal(t, answer.Messages[0].ModeDetails, "Applied configuration without a reboot")
	equal(t, bootID(t, options), before)
}

func TestContainerdIsRestartedFrom114(t *testing.T) {
	for version, restarts := range map[string]bool{"v1.11.6": false, "v1.12.11": false, "v1.13.9": false, "v1.14.0": true} {
		_, options, node := of(t, version)

		stamp := func() string {
			text, err := os.ReadFile(filepath.Join(options.State, "cri-start"))
			must(t, err)

			return string(text)
		}

		before := stamp()
		node.apply(mirror("a"), nil)
		node.apply("machine: {network: {extraHostEntries: [{ip: 10.0.0.1, aliases: [a]}]}}", nil)
		equal(t, stamp(), before) // hosts.toml and /etc/hosts are read anew each time

		node.apply(withAuth, nil)
		equal(t, stamp() != before, restarts)
		equal(t, strings.Contains(read(t, options, "/etc/cri/conf.d/cri.toml"), "registry.configs.a.auth"), true)
	}
}

func TestContainerdsPartsAreNoFilesFrom114(t *testing.T) {
	l, options, node := of(t, "v1.13.9")
	before := bootID(t, options)
	node.apply(customized, inMode(modeAuto))
	eventually(t, func() bool { return bootID(t, options) != before })
	equal(t, parts(t, options), []string{
		"## /etc/cri/conf.d/00-base.part", "## /etc/cri/conf.d/01-registries.part", "## /etc/cri/conf.d/20-customization.part",
	})
	equal(t, strings.Contains(read(t, options, "/etc/cri/conf.d/cri.toml"), "oom_score = 7"), true)

	options = l.options(machinetype.TypeControlPlane, "v1.14.0")
	l.start(options)
	node = l.admin(options.Address)
	equal(t, parts(t, options), []string{"## file /etc/cri/conf.d/00-base.part", "## in-memory registries"})

	must(t, os.Mkdir(filepath.Join(options.Root, "/etc/cri/conf.d/hosts/_backup"), 0o755))

	answer, err := node.send(customized, nil)
	must(t, err)
	equal(t, answer.Messages[0].Warnings, []string{".machine.files is deprecated; use dedicated configuration documents instead"})
	equal(t, parts(t, options), []string{
		"## file /etc/cri/conf.d/00-base.part", "## in-memory registries", `## in-memory customization "customization"`,
	})
	equal(t, strings.Contains(read(t, options, "/etc/cri/conf.d/cri.toml"), "oom_score = 7"), true)
	equal(t, ls(t, options, "/etc/cri/conf.d/hosts"), nil)
	equal(t, ls(t, options, "/etc/cri/conf.d"), []string{"00-base.part", "base-spec.json", "cri.toml", "hosts"})
}

// parts reads from cri.toml's header what it was merged from.
func parts(t *testing.T, options Options) (list []string) {
	t.Helper()

	for line := range strings.Lines(read(t, options, "/etc/cri/conf.d/cri.toml")) {
		if origin, _, found := strings.Cut(line, " (sha256:"); found {
			list = append(list, origin)
		}
	}

	return list
}

func TestAFailedPullIsRepeatedUntil113Only(t *testing.T) {
	for version, repeats := range map[string]bool{"v1.13.9": true, "v1.14.0": false} {
		_, options, node := of(t, version)
		node.apply(fmt.Sprintf("machine: {registries: {mirrors: {a.example: {endpoints: ['http://%s:1'], skipFallback: true}}}}", options.Address), nil)

		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		err := node.ImagePull(ctx, 2, "a.example/b:1")
		cancel()
		equal(t, client.StatusCode(err) == codes.DeadlineExceeded, repeats)
		equal(t, strings.HasPrefix(status.Convert(err).Message(), `failed to pull image "a.example/b:1": failed to resolve reference`), !repeats)
	}
}
