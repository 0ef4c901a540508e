// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// TestMain lets this binary be pod-runtime: it executes itself for each stage.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "serve" || strings.HasPrefix(os.Args[1], "stage-")) {
		main()

		return
	}

	os.Exit(m.Run())
}

type client struct {
	cri.RuntimeServiceClient
	cri.ImageServiceClient
}

// start runs pod-runtime in namespaces of its own, as the user who runs the tests.
func start(t *testing.T) (client, string) {
	t.Helper()

	folder, err := os.MkdirTemp("", "pod-") // not t.TempDir: a socket's path is short
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { _ = os.RemoveAll(folder) })

	for _, name := range []string{"root/etc", "bin", "run"} {
		if err := os.MkdirAll(filepath.Join(folder, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}

	table, err := filepath.Abs(sandboxTable)
	if err != nil {
		t.Fatal(err)
	}

	const script = `ip link set lo up && ip addr add 10.5.0.2/32 dev lo && exec "$0" "$@"`

	command := exec.Command("unshare", "-Urnmp", "--fork", "--kill-child", "--mount-proc", "sh", "-c", script, os.Args[0], "serve",
		"--node-name", "n1", "--node-root", folder+"/root", "--run-dir", folder+"/run", "--pod-cidr", "10.244.1.0/24",
		"--node-ip", "10.5.0.2", "--images", table, "--bin", folder+"/bin")
	command.Stderr = os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}

	if exec.Command("unshare", "-Urnmp", "--fork", "--mount-proc", "true").Run() != nil {
		t.Skip("this machine gives no user namespaces")
	}

	if err := command.Start(); err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})

	connection, err := grpc.NewClient("unix://"+folder+"/run/cri.sock", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}

	one := client{cri.NewRuntimeServiceClient(connection), cri.NewImageServiceClient(connection)}

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()

	if _, err := one.Version(ctx, &cri.VersionRequest{}, grpc.WaitForReady(true)); err != nil {
		t.Fatal(err)
	}

	return one, folder
}

// pod runs a shell script in a pod of one container and gives both IDs.
func (c client) pod(t *testing.T, script string, mounts ...*cri.Mount) (pod, container string) {
	t.Helper()

	config := &cri.PodSandboxConfig{
		Metadata: &cri.PodSandboxMetadata{Name: "p", Namespace: "default", Uid: "u"}, Hostname: "p", LogDirectory: "/var/log/pods/p",
		DnsConfig: &cri.DNSConfig{Servers: []string{"10.96.0.10"}},
	}

	run, err := c.RunPodSandbox(t.Context(), &cri.RunPodSandboxRequest{Config: config})
	if err != nil {
		t.Fatal(err)
	}

	created, err := c.CreateContainer(t.Context(), &cri.CreateContainerRequest{
		PodSandboxId: run.GetPodSandboxId(), SandboxConfig: config,
		Config: &cri.ContainerConfig{
			Metadata: &cri.ContainerMetadata{Name: "c"}, Image: &cri.ImageSpec{Image: "sandbox.example/toolbox:1"},
			Command: []string{"/bin/sh", "-c", script}, LogPath: "c.log", Mounts: mounts,
		},
	})
	if err != nil {
		t.Fatal(err)
	}

	if _, err := c.StartContainer(t.Context(), &cri.StartContainerRequest{ContainerId: created.GetContainerId()}); err != nil {
		t.Fatal(err)
	}

	return run.GetPodSandboxId(), created.GetContainerId()
}

func (c client) status(t *testing.T, container string) *cri.ContainerStatus {
	t.Helper()

	answer, err := c.ContainerStatus(t.Context(), &cri.ContainerStatusRequest{ContainerId: container})
	if err != nil {
		t.Fatal(err)
	}

	return answer.GetStatus()
}

func (c client) output(t *testing.T, container string, command ...string) string {
	t.Helper()

	answer, err := c.ExecSync(t.Context(), &cri.ExecSyncRequest{ContainerId: container, Cmd: command, Timeout: 10})
	if err != nil || answer.GetExitCode() != 0 {
		t.Fatalf("%q: %v, %v", command, answer, err)
	}

	return string(answer.GetStdout())
}

func TestLifeOfAPod(t *testing.T) {
	c, folder := start(t)

	if err := os.WriteFile(folder+"/root/etc/given", []byte("from the node"), 0o600); err != nil {
		t.Fatal(err)
	}

	const script = `trap "exit 3" TERM; while :; do sleep 0.1; done`

	pod, container := c.pod(t, script,
		&cri.Mount{HostPath: "/etc/given", ContainerPath: "/etc/ssl/certs/deep/given", Readonly: true},
		&cri.Mount{HostPath: "/var/lib/kubelet", ContainerPath: "/usr/share/made/up"})

	sandbox, err := c.PodSandboxStatus(t.Context(), &cri.PodSandboxStatusRequest{PodSandboxId: pod})
	if err != nil || sandbox.GetStatus().GetNetwork().GetIp() != "10.244.1.1" {
		t.Fatalf("got %v, %v", sandbox, err)
	}

	for want, command := range map[string]string{
		"from the node":           "cat /etc/ssl/certs/deep/given",
		"nameserver 10.96.0.10\n": "cat /etc/resolv.conf",
		"p\n":                     "hostname",
		"read-only\n":             "touch /usr/x 2>/dev/null || echo read-only",
		"1\n":                     "pgrep -o .",
		"10.5.0.2\n":              "ip route get 10.5.0.2 | sed -n 's/ via 169.254.1.1 .*//p'",
	} {
		if got := c.output(t, container, "sh", "-c", command); got != want {
			t.Errorf("%s: got %q, want %q", command, got, want)
		}
	}

	if _, err := c.StopContainer(t.Context(), &cri.StopContainerRequest{ContainerId: container, Timeout: 10}); err != nil {
		t.Fatal(err)
	}

	if got := c.status(t, container); got.GetExitCode() != 3 || got.GetState() != cri.ContainerState_CONTAINER_EXITED {
		t.Fatalf("got %v", got)
	}

	if _, err := c.RemovePodSandbox(t.Context(), &cri.RemovePodSandboxRequest{PodSandboxId: pod}); err != nil {
		t.Fatal(err)
	}

	left, err := c.ListContainers(t.Context(), &cri.ListContainersRequest{})
	if err != nil || len(left.GetContainers()) != 0 {
		t.Fatalf("got %v, %v", left, err)
	}
}

func TestProbeAndGraceEnd(t *testing.T) {
	c, _ := start(t)
	_, container := c.pod(t, `trap "" TERM; while :; do sleep 0.1; done`)

	_, err := c.ExecSync(t.Context(), &cri.ExecSyncRequest{ContainerId: container, Cmd: []string{"sleep", "60"}, Timeout: 1})
	if status.Code(err) != codes.DeadlineExceeded {
		t.Fatalf("a probe that hangs: %v", err)
	}

	if got := c.output(t, container, "sh", "-c", "pgrep -x -f 'sleep 60' || echo none"); got != "none\n" {
		t.Fatalf("the probe's process is still there: %q", got)
	}

	started := time.Now()
	if _, err := c.StopContainer(t.Context(), &cri.StopContainerRequest{ContainerId: container, Timeout: 1}); err != nil {
		t.Fatal(err)
	}

	if took := time.Since(started); took < time.Second || took > 5*time.Second {
		t.Fatalf("killed after %s", took)
	}

	if got := c.status(t, container); got.GetExitCode() != 137 || got.GetReason() != "Error" {
		t.Fatalf("got %v", got)
	}
}

func TestStartFailureNamesItsReason(t *testing.T) {
	c, _ := start(t)

	config := &cri.PodSandboxConfig{Metadata: &cri.PodSandboxMetadata{Name: "p"}}

	run, err := c.RunPodSandbox(t.Context(), &cri.RunPodSandboxRequest{Config: config})
	if err != nil {
		t.Fatal(err)
	}

	for image, want := range map[string]string{
		"harbor.example.com/library/x:1":          "neither in the table of known images nor pulled",
		"registry.k8s.io/coredns/coredns:v1.14.7": "/run/host/bin/coredns", // has not been built
	} {
		_, err := c.CreateContainer(t.Context(), &cri.CreateContainerRequest{
			PodSandboxId: run.GetPodSandboxId(), SandboxConfig: config,
			Config: &cri.ContainerConfig{Metadata: &cri.ContainerMetadata{Name: "c"}, Image: &cri.ImageSpec{Image: image}},
		})
		if err == nil {
			list, _ := c.ListContainers(t.Context(), &cri.ListContainersRequest{})
			_, err = c.StartContainer(t.Context(), &cri.StartContainerRequest{ContainerId: list.GetContainers()[0].GetId()})
		}

		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", image, err)
		}
	}
}
