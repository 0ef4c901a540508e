// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	utilexec "k8s.io/utils/exec"
)

// ExecSync is how probes of kind exec and lifecycle hooks run.
func (r *containerRuntime) ExecSync(ctx context.Context, request *cri.ExecSyncRequest) (*cri.ExecSyncResponse, error) {
	one, err := r.running(request.GetContainerId())
	if err != nil {
		return nil, err
	}

	if seconds := request.GetTimeout(); seconds > 0 {
		var cancel context.CancelFunc

		ctx, cancel = context.WithTimeout(ctx, time.Duration(seconds)*time.Second)
		defer cancel()
	}

	var stdout, stderr bytes.Buffer

	command := &exec.Cmd{Stdout: &stdout, Stderr: &stderr}

	code, err := r.execute(ctx, one, request.GetCmd(), command, false)
	if ctx.Err() != nil {
		return nil, status.Errorf(codes.DeadlineExceeded, "command %q timed out", request.GetCmd())
	}

	if err != nil {
		return nil, err
	}

	return &cri.ExecSyncResponse{Stdout: stdout.Bytes(), Stderr: stderr.Bytes(), ExitCode: int32(code)}, nil
}

// execute runs a command in the container's namespaces with the streams that command has, and gives its exit status.
func (r *containerRuntime) execute(ctx context.Context, one *container, arguments []string, command *exec.Cmd, terminal bool) (int, error) {
	files, err := processNamespaces(one.command.Process.Pid)
	if err != nil {
		return 0, err
	}

	names := make([]string, len(files))
	for i, file := range files {
		defer file.Close() //nolint:errcheck

		names[i] = file.Name()
	}

	command.Path = "/proc/self/exe"
	command.Args = append([]string{"pod-runtime", stageExecute}, names...)
	command.Env = []string{}
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setsid: true}
	command.WaitDelay = 2 * time.Second

	environment := one.plan.Environment
	if terminal {
		environment = append([]string{"TERM=xterm"}, environment...)
	}

	plan := executePlan{Arguments: arguments, Environment: environment, Directory: one.plan.Directory, Terminal: terminal}
	if err := r.starter.startStage(command, plan, files); err != nil {
		return 0, err
	}

	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()

	select {
	case err = <-ended:
	case <-ctx.Done():
		_ = command.Process.Signal(syscall.SIGTERM) // see runUntilTold
		err = <-ended
	}

	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) && !errors.Is(err, exec.ErrWaitDelay) {
		return 0, err
	}

	return statusCode(command.ProcessState), ctx.Err()
}

// processNamespaces opens those of a container; the mount namespace comes last because it changes what paths mean.
func processNamespaces(pid int) ([]*os.File, error) {
	var files []*os.File

	for _, kind := range []string{"ipc", "uts", "net", "pid", "mnt"} {
		file, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
		if err != nil {
			return nil, err
		}

		files = append(files, file)
	}

	return files, nil
}

// streamer does the work behind the kubelet's streaming endpoints.
type streamer struct{ *containerRuntime }

func (s streamer) Exec(
	ctx context.Context, id string, arguments []string, in io.Reader, out, failures io.WriteCloser,
	terminal bool, resize <-chan remotecommand.TerminalSize,
) error {
	one, err := s.running(id)
	if err != nil {
		return err
	}

	command := &exec.Cmd{}

	var code int

	if terminal {
		code, err = s.executeOnTerminal(ctx, one, arguments, command, in, out, resize)
	} else {
		code, err = s.executeOnPipes(ctx, one, arguments, command, in, out, failures)
	}

	if err != nil || code == 0 {
		return err
	}

	return &utilexec.CodeExitError{Err: fmt.Errorf("command terminated with exit code %d", code), Code: code}
}

func (s streamer) executeOnPipes(
	ctx context.Context, one *container, arguments []string, command *exec.Cmd, in io.Reader, out, failures io.WriteCloser,
) (int, error) {
	if out != nil {
		command.Stdout = out
	}

	if failures != nil {
		command.Stderr = failures
	}

	if in != nil {
		read, write, err := os.Pipe() // not Cmd.Stdin = in: its Wait would wait for the client
		if err != nil {
			return 0, err
		}
		defer read.Close() //nolint:errcheck

		command.Stdin = read

		go func() {
			_, _ = io.Copy(write, in)
			_ = write.Close()
		}()
	}

	return s.execute(ctx, one, arguments, command, false)
}

func (s streamer) executeOnTerminal(
	ctx context.Context, one *container, arguments []string, command *exec.Cmd, in io.Reader, out io.Writer,
	resize <-chan remotecommand.TerminalSize,
) (int, error) {
	master, slave, err := openTerminal()
	if err != nil {
		return 0, err
	}
	defer master.Close() //nolint:errcheck
	defer slave.Close()  //nolint:errcheck

	command.Stdin, command.Stdout, command.Stderr = slave, slave, slave

	go func() {
		for size := range resize {
			_ = unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: size.Height, Col: size.Width})
		}
	}()

	if in != nil {
		go func() { _, _ = io.Copy(master, in) }()
	}

	printed := make(chan struct{})

	go func() {
		defer close(printed)

		if out != nil {
			_, _ = io.Copy(out, master)
		}
	}()

	code, err := s.execute(ctx, one, arguments, command, true)
	_ = slave.Close() // the last one: the copy ends when all is read

	select {
	case <-printed:
	case <-time.After(time.Second):
	}

	return code, err
}

func openTerminal() (master, slave *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}

	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, nil, errors.Join(err, unix.Close(fd))
	}

	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		return nil, nil, errors.Join(err, unix.Close(fd))
	}

	slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, errors.Join(err, unix.Close(fd))
	}

	return os.NewFile(uintptr(fd), "/dev/ptmx"), slave, nil
}

// Attach follows what the container prints from now on, and writes to its standard input where it has one.
func (s streamer) Attach(
	ctx context.Context, id string, in io.Reader, out, failures io.WriteCloser, _ bool, resize <-chan remotecommand.TerminalSize,
) error {
	one, err := s.running(id)
	if err != nil {
		return err
	}

	go func() {
		for range resize { //nolint:revive // a container has no terminal here
		}
	}()

	for stream, writer := range map[string]io.Writer{"stdout": out, "stderr": failures} {
		if writer != nil {
			defer one.log.attach(stream, writer)()
		}
	}

	if in != nil && one.stdin != nil {
		go func() {
			_, _ = io.Copy(one.stdin, in)

			if one.config.GetStdinOnce() {
				_ = one.stdin.Close()
			}
		}()
	}

	select {
	case <-one.ended:
	case <-ctx.Done():
	}

	return nil
}

func (s streamer) PortForward(_ context.Context, id string, port int32, stream io.ReadWriteCloser) error {
	one, err := s.containerRuntime.sandbox(id)
	if err != nil {
		return err
	}

	s.mu.Lock()
	held := one.namespaces
	s.mu.Unlock()

	if held == nil {
		return status.Error(codes.FailedPrecondition, "the pod is stopped")
	}

	server, err := dialInside(held.network, port)
	if err != nil {
		return fmt.Errorf("port %d of pod %s: %w", port, one.name(), err)
	}

	exchange(stream, server)

	return nil
}

// exchange copies both ways until the server has ended, or some time after the client has.
func exchange(client io.ReadWriter, server net.Conn) {
	const afterClient = 10 * time.Second

	defer server.Close() //nolint:errcheck

	clientEnded, serverEnded := make(chan struct{}), make(chan struct{})

	go func() {
		defer close(clientEnded)

		_, _ = io.Copy(server, client)

		if half, ok := server.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}()

	go func() {
		defer close(serverEnded)

		_, _ = io.Copy(client, server)
	}()

	select {
	case <-serverEnded:
	case <-clientEnded:
		select {
		case <-serverEnded:
		case <-time.After(afterClient):
		}
	}
}
