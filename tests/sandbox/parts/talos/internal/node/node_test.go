// SPDX-License-Identifier: GPL-3.0-or-later

package node

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/client"
	clientconfig "github.com/siderolabs/talos/pkg/machinery/client/config"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/configpatcher"
	"github.com/siderolabs/talos/pkg/machinery/config/generate"
	"github.com/siderolabs/talos/pkg/machinery/config/generate/secrets"
	machinetype "github.com/siderolabs/talos/pkg/machinery/config/machine"
	configres "github.com/siderolabs/talos/pkg/machinery/resources/config"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

const childVariable = "TALOS_NODE_TEST_OPTIONS"

// TestMain runs a node alone when a test asks for a process that it can see die.
func TestMain(m *testing.M) {
	if text := os.Getenv(childVariable); text != "" {
		var options Options
		if err := json.Unmarshal([]byte(text), &options); err != nil {
			panic(err)
		}

		one, err := New(options)
		if err == nil {
			err = one.Run(context.Background())
		}

		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}

	os.Exit(m.Run())
}

var (
	lastAddress = 1
	bundles     = map[string]*secrets.Bundle{}
)

// lab is a cluster's secrets; nodes of it trust one another.
type lab struct {
	t      *testing.T
	bundle *secrets.Bundle
	input  *generate.Input
	dir    string
}

func newLab(t *testing.T, version string) *lab {
	t.Helper()

	contract, err := config.ParseContractFromVersion(version)
	must(t, err)

	if bundles[version] == nil { // an RSA key takes a second
		bundles[version], err = secrets.NewBundle(secrets.NewClock(), contract)
		must(t, err)
	}

	bundle := bundles[version]

	input, err := generate.NewInput("lab", "https://10.5.0.2:6443", "1.36.3",
		generate.WithVersionContract(contract), generate.WithSecretsBundle(bundle), generate.WithInstallDisk("/dev/sda"))
	must(t, err)

	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "os-ca.crt"), bundle.Certs.OS.Crt, 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "os-ca.key"), bundle.Certs.OS.Key, 0o600))

	return &lab{t: t, bundle: bundle, input: input, dir: dir}
}

// options of a new node on a loopback address of its own.
func (l *lab) options(kind machinetype.Type, version string) Options {
	l.t.Helper()

	lastAddress++
	address := fmt.Sprintf("127.77.0.%d", lastAddress)
	dir := filepath.Join(l.dir, address)

	cfg, err := l.input.Config(kind)
	must(l.t, err)

	text, err := cfg.Bytes()
	must(l.t, err)
	must(l.t, os.MkdirAll(dir, 0o700))
	must(l.t, os.WriteFile(filepath.Join(dir, "config.yaml"), text, 0o600))

	return Options{
		Name: "node" + address, Address: address, Root: filepath.Join(dir, "root"), State: filepath.Join(dir, "state"),
		Config: filepath.Join(dir, "config.yaml"), OSCA: l.dir, TalosVersion: version, RebootTime: 10 * time.Millisecond,
	}
}

// start runs a node until the test, or stop, ends it.
func (l *lab) start(options Options) (stop func()) {
	l.t.Helper()

	one, err := New(options)
	must(l.t, err)

	ctx, cancel := context.WithCancel(l.t.Context())
	ended := make(chan error, 1)

	go func() { ended <- one.Run(ctx) }()

	stop = func() {
		cancel()

		select {
		case err := <-ended:
			ended <- err
			must(l.t, err)
		case <-time.After(10 * time.Second):
			l.t.Error("the node does not end")
		}
	}

	l.t.Cleanup(stop)

	return stop
}

// client gives a client of the node at address with a role; it waits for the node to be up.
func (l *lab) client(address string, who role.Role) *client.Client {
	l.t.Helper()

	certificate, err := l.bundle.GenerateTalosAPIClientCertificate(role.MakeSet(who))
	must(l.t, err)

	encode := base64.StdEncoding.EncodeToString

	c, err := client.New(l.t.Context(), client.WithConfigContext(&clientconfig.Context{
		Endpoints: []string{address}, CA: encode(l.bundle.Certs.OS.Crt), Crt: encode(certificate.Crt), Key: encode(certificate.Key),
	}))
	must(l.t, err)
	l.t.Cleanup(func() { c.Close() }) //nolint:errcheck

	eventually(l.t, func() bool {
		_, err := c.Version(l.t.Context())

		return err == nil
	})

	return c
}

func (l *lab) admin(address string) *admin { return &admin{l.t, l.client(address, role.Admin)} }

// admin is a client for short.
type admin struct {
	t *testing.T
	*client.Client
}

func (a *admin) config(id string) config.Provider {
	a.t.Helper()

	res, err := safe.StateGet[*configres.MachineConfig](a.t.Context(), a.COSI, configres.NewMachineConfigWithID(nil, id).Metadata())
	must(a.t, err)

	return res.Provider()
}

// mirrors names those of the configuration that is called id.
func (a *admin) mirrors(id string) (names []string) {
	a.t.Helper()

	for name := range a.config(id).RegistryMirrorConfigs() {
		names = append(names, name)
	}

	slices.Sort(names)

	return names
}

func (a *admin) send(patch string, change func(*machine.ApplyConfigurationRequest)) (*machine.ApplyConfigurationResponse, error) {
	a.t.Helper()

	loaded, err := configpatcher.LoadPatch([]byte(patch))
	must(a.t, err)

	patched, err := configpatcher.Apply(configpatcher.WithConfig(a.config(configres.ActiveID)), []configpatcher.Patch{loaded})
	must(a.t, err)

	text, err := patched.Bytes()
	must(a.t, err)

	request := &machine.ApplyConfigurationRequest{Data: text, Mode: modeNoReboot}
	if change != nil {
		change(request)
	}

	return a.ApplyConfiguration(a.t.Context(), request)
}

func (a *admin) apply(patch string, change func(*machine.ApplyConfigurationRequest)) {
	a.t.Helper()

	_, err := a.send(patch, change)
	must(a.t, err)
}

func mirror(name string) string {
	return fmt.Sprintf("machine: {registries: {mirrors: {%s: {endpoints: ['http://%s']}}}}", name, name)
}

func inMode(mode applyMode) func(*machine.ApplyConfigurationRequest) {
	return func(in *machine.ApplyConfigurationRequest) { in.Mode = mode }
}

func try(timeout time.Duration) func(*machine.ApplyConfigurationRequest) {
	return func(in *machine.ApplyConfigurationRequest) {
		in.Mode = modeTry
		in.TryModeTimeout = durationpb.New(timeout)
	}
}

func must(t *testing.T, err error) {
	t.Helper()

	if err != nil {
		t.Fatal(err)
	}
}

func equal[T any](t *testing.T, got, want T) {
	t.Helper()

	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func eventually(t *testing.T, holds func() bool) {
	t.Helper()

	for range 200 {
		if holds() {
			return
		}

		time.Sleep(50 * time.Millisecond)
	}

	t.Fatal("it never comes")
}

func one(t *testing.T) (*lab, Options, *admin) {
	t.Helper()

	l := newLab(t, "v1.13")
	options := l.options(machinetype.TypeControlPlane, "v1.13.0")
	l.start(options)

	return l, options, l.admin(options.Address)
}

const tryTime = 400 * time.Millisecond

func TestSecondTryMakesTheFirstPermanent(t *testing.T) {
	_, _, node := one(t)

	node.apply(mirror("a"), try(tryTime))
	node.apply(mirror("b"), try(tryTime))
	equal(t, node.mirrors(configres.ActiveID), []string{"a", "b"})
	equal(t, node.mirrors(configres.PersistentID), nil)

	time.Sleep(2 * tryTime)
	equal(t, node.mirrors(configres.ActiveID), []string{"a"})
	equal(t, node.mirrors(configres.PersistentID), nil)
}

func TestDryRunDisarmsAPendingTry(t *testing.T) {
	_, _, node := one(t)

	node.apply(mirror("a"), try(tryTime))
	node.apply("machine: {}", func(in *machine.ApplyConfigurationRequest) { in.DryRun = true })

	time.Sleep(2 * tryTime)
	equal(t, node.mirrors(configres.ActiveID), []string{"a"})
	equal(t, node.mirrors(configres.PersistentID), nil)
}

func TestARefusedConfigurationDisarmsAPendingTryToo(t *testing.T) {
	_, _, node := one(t)

	node.apply(mirror("a"), try(tryTime))
	_, err := node.ApplyConfiguration(t.Context(), &machine.ApplyConfigurationRequest{Data: []byte("nonsense: {}"), Mode: modeNoReboot})
	equal(t, client.StatusCode(err), codes.InvalidArgument)

	time.Sleep(2 * tryTime)
	equal(t, node.mirrors(configres.ActiveID), []string{"a"})
}

func TestWhatLeavesATryArmed(t *testing.T) {
	l, options, node := one(t)

	node.apply(mirror("a"), try(tryTime))
	node.mirrors(configres.PersistentID)
	node.apply("machine: {}", func(in *machine.ApplyConfigurationRequest) { in.Mode, in.DryRun = modeTry, true })
	_, err := node.send("machine: {network: {extraHostEntries: [{}]}, files: [{path: /var/x}]}", inMode(modeTry))
	equal(t, client.StatusCode(err), codes.InvalidArgument)
	_, err = l.client(options.Address, role.Reader).ApplyConfiguration(t.Context(), &machine.ApplyConfigurationRequest{})
	equal(t, client.StatusCode(err), codes.PermissionDenied)

	time.Sleep(2 * tryTime)
	equal(t, node.mirrors(configres.ActiveID), nil)
}

func TestApplyingTheActiveConfigurationConfirmsATry(t *testing.T) {
	_, _, node := one(t)

	node.apply(mirror("a"), try(tryTime))
	node.apply("machine: {}", nil)

	time.Sleep(2 * tryTime)
	equal(t, node.mirrors(configres.ActiveID), []string{"a"})
	equal(t, node.mirrors(configres.PersistentID), []string{"a"})
}

func TestRestartKeepsWhatWasPersistedAndForgetsATry(t *testing.T) {
	l := newLab(t, "v1.13")
	options := l.options(machinetype.TypeControlPlane, "v1.13.0")
	stop := l.start(options)
	node := l.admin(options.Address)

	node.apply(mirror("kept"), nil)
	node.apply(mirror("tried"), try(time.Hour))
	stop()

	l.start(options)
	node = l.admin(options.Address)
	equal(t, node.mirrors(configres.ActiveID), []string{"kept"})
	equal(t, ls(t, options, "/etc/cri/conf.d/hosts"), []string{"kept"})
}

func TestStagedConfigurationIsActiveAfterTheReboot(t *testing.T) {
	_, options, node := one(t)

	node.apply(mirror("a"), inMode(modeStaged))
	equal(t, node.mirrors(configres.ActiveID), nil)
	must(t, node.Reboot(t.Context()))
	eventually(t, func() bool { return slices.Equal(ls(t, options, "/etc/cri/conf.d/hosts"), []string{"a"}) })
}

func TestChangeThatNeedsARebootIsMadeByOne(t *testing.T) {
	_, options, node := one(t)
	before := bootID(t, options)
	change := "machine: {files: [{path: /etc/cri/conf.d/20-customization.part, op: create, permissions: 420, content: 'version = 3'}]}"

	_, err := node.send(change, nil)
	if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "this config change can't be applied in immediate mode\ndiff:\n--- a") {
		t.Fatal(err)
	}

	answer, err := node.send(change, inMode(modeAuto))
	must(t, err)
	equal(t, strings.HasPrefix(answer.Messages[0].ModeDetails, "Applied configuration with a reboot: this config change can't"), true)

	eventually(t, func() bool { return bootID(t, options) != before })

	text, err := os.ReadFile(filepath.Join(options.Root, "/etc/cri/conf.d/20-customization.part"))
	must(t, err)
	equal(t, string(text), "version = 3")
}

func TestSeveralAtTheSameTime(t *testing.T) {
	_, _, node := one(t)
	failures := make(chan error)

	text, err := node.config(configres.ActiveID).Bytes()
	must(t, err)

	for range 5 {
		go func() {
			_, err := node.ApplyConfiguration(t.Context(), &machine.ApplyConfigurationRequest{Data: text, Mode: modeNoReboot})
			failures <- err
		}()
	}

	for range 5 {
		must(t, <-failures)
	}
}

func TestForeignDirectoriesGoOnlyWhenRegistriesChange(t *testing.T) {
	_, options, node := one(t)
	foreign := filepath.Join(options.Root, "/etc/cri/conf.d/hosts/_backup")
	must(t, os.Mkdir(foreign, 0o755))

	node.apply("machine: {}", nil)
	node.apply("machine: {network: {extraHostEntries: [{ip: 10.0.0.1, aliases: [a]}]}}", nil)
	equal(t, ls(t, options, "/etc/cri/conf.d/hosts"), []string{"_backup"})

	node.apply(mirror("a"), nil)
	equal(t, ls(t, options, "/etc/cri/conf.d/hosts"), []string{"a"})
}

func TestMirrorNamedByAURLHasNoDirectory(t *testing.T) {
	_, options, node := one(t)

	node.apply("machine: {registries: {mirrors: {'http://a.example.com': {endpoints: ['http://a']}, b: {endpoints: ['http://b']}}}}", nil)
	equal(t, ls(t, options, "/etc/cri/conf.d/hosts"), []string{"b"})
}

func TestWildcardTLSLeavesFilesAsTheyAre(t *testing.T) {
	_, options, node := one(t)

	node.apply(mirror("a"), nil)
	node.apply("apiVersion: v1alpha1\nkind: RegistryTLSConfig\nname: '*'\ninsecureSkipVerify: true\n", nil)
	node.apply(mirror("b"), nil)
	equal(t, ls(t, options, "/etc/cri/conf.d/hosts"), []string{"a"})
}

func TestRoles(t *testing.T) {
	l, options, _ := one(t)
	reader, operator := l.client(options.Address, role.Reader), l.client(options.Address, role.Operator)

	read := func(c *client.Client) error {
		content, err := c.Read(t.Context(), "/etc/hosts")
		must(t, err)

		_, err = io.ReadAll(content)

		return err
	}
	pulls := func(c *client.Client) error { return c.ImagePull(t.Context(), 0, "x") }

	for name, check := range map[string]struct {
		got  error
		want codes.Code
	}{
		"reader reads":           {read(reader), codes.PermissionDenied},
		"operator reads":         {read(operator), codes.PermissionDenied},
		"reader reboots":         {reader.Reboot(t.Context()), codes.PermissionDenied},
		"reader pulls":           {pulls(reader), codes.PermissionDenied},
		"operator pulls nowhere": {pulls(operator), codes.InvalidArgument},
	} {
		if got := client.StatusCode(check.got); got != check.want {
			t.Errorf("%s: %v", name, check.got)
		}
	}

	_, err := operator.ApplyConfiguration(t.Context(), &machine.ApplyConfigurationRequest{})
	equal(t, client.StatusCode(err), codes.PermissionDenied)
}

func TestRequestsToOtherNodes(t *testing.T) {
	l := newLab(t, "v1.13")
	plane, worker := l.options(machinetype.TypeControlPlane, "v1.13.0"), l.options(machinetype.TypeWorker, "v1.13.0")
	l.start(plane)
	l.start(worker)
	node := l.admin(plane.Address)
	l.admin(worker.Address)

	answer, err := node.Version(client.WithNodes(t.Context(), plane.Address, worker.Address))
	must(t, err)

	var names []string
	for _, message := range answer.Messages {
		names = append(names, message.Metadata.Hostname)
	}

	slices.Sort(names)
	equal(t, names, []string{plane.Address, worker.Address})

	_, err = l.admin(worker.Address).Version(client.WithNode(t.Context(), plane.Address))
	equal(t, status.Convert(err).Message(), "no request forwarding")
	_, err = l.admin(worker.Address).Version(client.WithNode(t.Context(), worker.Address))
	must(t, err)

	// the reader's role goes with the request: the other node does not see the first one's own certificate as an admin's
	_, err = l.client(plane.Address, role.Reader).ApplyConfiguration(client.WithNode(t.Context(), worker.Address), &machine.ApplyConfigurationRequest{})
	equal(t, client.StatusCode(err), codes.PermissionDenied)
}

func tell(t *testing.T, options Options, text string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(options.State, "control.json"), []byte(text), 0o600))
}

func TestToldToRefuse(t *testing.T) {
	_, options, node := one(t)

	tell(t, options, `{"before-apply": {"action": "refuse", "code": "RESOURCE_EXHAUSTED", "message": "no", "times": 1}}`)

	_, err := node.send(mirror("a"), nil)
	equal(t, fmt.Sprint(status.Code(err), status.Convert(err).Message()), "ResourceExhaustedno")
	node.apply(mirror("a"), nil)

	tell(t, options, `{"after-persist": {"action": "refuse"}}`)

	_, err = node.send(mirror("b"), nil)
	equal(t, status.Code(err), codes.Unavailable)
	equal(t, node.mirrors(configres.ActiveID), []string{"a"})
	equal(t, node.mirrors(configres.PersistentID), []string{"a", "b"})

	tell(t, options, `{"before-read": {"action": "dance"}}`)

	_, err = safe.StateGet[*configres.MachineConfig](t.Context(), node.COSI, configres.NewMachineConfig(nil).Metadata())
	equal(t, status.Convert(err).Message(), `control.json: unknown action "dance"`)
}

func TestToldToHang(t *testing.T) {
	_, options, node := one(t)

	tell(t, options, `{"after-apply": {"action": "hang"}}`)

	ctx, cancel := context.WithTimeout(t.Context(), tryTime)
	defer cancel()

	text, err := node.config(configres.ActiveID).Bytes()
	must(t, err)

	_, err = node.ApplyConfiguration(ctx, &machine.ApplyConfigurationRequest{Data: text, Mode: modeNoReboot})
	equal(t, status.Code(err), codes.DeadlineExceeded)
}

func TestToldToDie(t *testing.T) {
	l := newLab(t, "v1.13")
	options := l.options(machinetype.TypeControlPlane, "v1.13.0")

	text, err := json.Marshal(options)
	must(t, err)

	start := func() *exec.Cmd {
		process := exec.Command(os.Args[0])
		process.Env = append(os.Environ(), childVariable+"="+string(text))
		must(t, process.Start())
		t.Cleanup(func() { process.Process.Kill() }) //nolint:errcheck

		return process
	}

	process := start()
	node := l.admin(options.Address)
	tell(t, options, `{"after-persist": {"action": "die", "times": 1}}`)

	if _, err := node.send(mirror("a"), nil); client.StatusCode(err) != codes.Unavailable {
		t.Error(err)
	}

	process.Wait() //nolint:errcheck
	equal(t, process.ProcessState.ExitCode(), exitTold)

	start()
	equal(t, l.admin(options.Address).mirrors(configres.ActiveID), []string{"a"})
}

func ls(t *testing.T, options Options, dir string) (names []string) {
	t.Helper()

	entries, err := os.ReadDir(filepath.Join(options.Root, dir))
	must(t, err)

	for _, entry := range entries {
		names = append(names, entry.Name())
	}

	return names
}

func bootID(t *testing.T, options Options) string {
	t.Helper()

	text, err := os.ReadFile(filepath.Join(options.Root, "/proc/sys/kernel/random/boot_id"))
	must(t, err)

	return string(text)
}
