// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Stages: what pod-runtime executes itself as, in namespaces that a thread of it could not enter.
const (
	stageNode    = "stage-node"
	stageServe   = "stage-serve"
	stageInit    = "stage-init"
	stageExecute = "stage-execute"
)

// File descriptors of a stage beyond the standard three.
const (
	fdPlan       = 3 // JSON
	fdFailure    = 4 // closed by the exec, else what went wrong
	fdNamespaces = 5 // and the following
)

// newRoot exists on every machine, and is empty or not of interest: only the mount namespace of one container sees it covered.
const newRoot = "/tmp"

// containerInit becomes the container's first process. It starts in mount and PID namespaces of its own.
func containerInit(arguments []string) error {
	failure := os.NewFile(fdFailure, "failure")
	unix.CloseOnExec(fdFailure)

	err := containerStart(len(arguments))
	fmt.Fprint(failure, err)

	return err
}

func containerStart(namespaces int) error {
	var plan containerPlan

	if err := json.NewDecoder(os.NewFile(fdPlan, "plan")).Decode(&plan); err != nil {
		return err
	}

	unix.CloseOnExec(fdPlan)

	if err := enterNamespaces(namespaces); err != nil {
		return err
	}

	if err := buildContainer(plan); err != nil {
		return err
	}

	return become(plan.Arguments, plan.Environment, plan.Directory)
}

func enterNamespaces(count int) error {
	for fd := fdNamespaces; fd < fdNamespaces+count; fd++ {
		unix.CloseOnExec(fd)

		if err := unix.Setns(fd, 0); err != nil {
			return fmt.Errorf("enter namespace %d: %w", fd-fdNamespaces, err)
		}
	}

	return nil
}

func become(arguments, environment []string, directory string) error {
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return err
	}

	if err := unix.Chdir(directory); err != nil {
		return wrap("enter", directory, err)
	}

	path, err := lookPath(arguments[0], environment)
	if err != nil {
		return err
	}

	unix.Umask(0o022)

	return wrap("execute", path, unix.Exec(path, arguments, environment))
}

// lookPath searches the PATH of the container, not of this process.
func lookPath(name string, environment []string) (string, error) {
	for _, variable := range environment {
		if value, ok := strings.CutPrefix(variable, "PATH="); ok {
			if err := os.Setenv("PATH", value); err != nil {
				return "", err
			}
		}
	}

	return exec.LookPath(name)
}

// buildContainer makes the container's root and goes into it.
func buildContainer(plan containerPlan) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}

	sources, err := openSources(plan.Mounts)
	if err != nil {
		return err
	}

	if err := memory(newRoot, "mode=0755"); err != nil {
		return err
	}

	if err := containerSkeleton(); err != nil {
		return err
	}

	if err := pivot(newRoot); err != nil {
		return err
	}

	for _, file := range plan.Files {
		if err := os.WriteFile(file.Path, []byte(file.Content), 0o644); err != nil {
			return err
		}
	}

	for i, mount := range plan.Mounts {
		if sources[i] == nil {
			continue
		}

		if err := mountTree(sources[i], mount); err != nil {
			return err
		}
	}

	return nil
}

// openSources takes hold of the trees to mount while their paths are still those of the node.
func openSources(mounts []mountPlan) ([]*os.File, error) {
	sources := make([]*os.File, len(mounts))

	for i, mount := range mounts {
		fd, err := unix.OpenTree(unix.AT_FDCWD, mount.Source, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
		if err != nil {
			if mount.Optional && errors.Is(err, unix.ENOENT) {
				continue
			}

			return nil, wrap("mount source", mount.Source, err)
		}

		sources[i] = os.NewFile(uintptr(fd), mount.Source)
	}

	return sources, nil
}

func mountTree(source *os.File, mount mountPlan) error {
	info, err := source.Stat()
	if err != nil {
		return err
	}

	if err := mountPoint(mount.Target, info.IsDir()); errors.Is(err, unix.EROFS) {
		if err := openUp(mount.Target); err != nil {
			return wrap("make room for", mount.Target, err)
		}

		err = mountPoint(mount.Target, info.IsDir())
		if err != nil {
			return err
		}
	} else if err != nil {
		return err
	}

	if err := unix.MoveMount(int(source.Fd()), "", unix.AT_FDCWD, mount.Target, unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_SYMLINKS); err != nil {
		return wrap("mount", mount.Target, err)
	}

	if mount.ReadOnly {
		return makeReadOnly(mount.Target)
	}

	return nil
}

// openUp puts a writable folder with the same entries over the deepest folder above target that exists, a read-only one.
func openUp(target string) error {
	folder := filepath.Dir(target)
	for _, err := os.Stat(folder); err != nil; _, err = os.Stat(folder) {
		folder = filepath.Dir(folder)
	}

	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}

	plans := make([]mountPlan, len(entries))
	for i, entry := range entries {
		plans[i] = mountPlan{Source: filepath.Join(folder, entry.Name()), Target: filepath.Join(folder, entry.Name())}
	}

	links := map[string]string{}

	for i, entry := range entries {
		if entry.Type()&os.ModeSymlink == 0 {
			continue
		}

		if links[plans[i].Target], err = os.Readlink(plans[i].Source); err != nil {
			return err
		}
	}

	plans = slicesWithout(plans, links)

	sources, err := openSources(plans)
	if err != nil {
		return err
	}

	if err := memory(folder, "mode=0755"); err != nil {
		return err
	}

	for name, link := range links {
		if err := os.Symlink(link, name); err != nil {
			return err
		}
	}

	for i, plan := range plans {
		if err := mountTree(sources[i], plan); err != nil {
			return err
		}

		_ = sources[i].Close()
	}

	return nil
}

func slicesWithout(plans []mountPlan, links map[string]string) []mountPlan {
	rest := plans[:0]

	for _, plan := range plans {
		if _, ok := links[plan.Target]; !ok {
			rest = append(rest, plan)
		}
	}

	return rest
}

// containerSkeleton fills newRoot with what every container has.
func containerSkeleton() error {
	if err := lendSystemFolders("/", newRoot); err != nil {
		return err
	}

	for _, name := range []string{"etc", "proc", "run", "root", "tmp", "var/log", "var/tmp", "var/lib", "var/cache", "home", "opt"} {
		if err := os.MkdirAll(filepath.Join(newRoot, name), 0o755); err != nil {
			return err
		}
	}

	for _, name := range []string{"tmp", "var/tmp"} {
		if err := os.Chmod(filepath.Join(newRoot, name), 0o777|os.ModeSticky); err != nil {
			return err
		}
	}

	if err := os.Symlink("../run", filepath.Join(newRoot, "var/run")); err != nil {
		return err
	}

	if err := bind("/sys", filepath.Join(newRoot, "sys"), true); err != nil {
		return err
	}

	proc := filepath.Join(newRoot, "proc")
	if err := unix.Mount("proc", proc, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return wrap("mount", proc, err)
	}

	if err := bind(filepath.Join(proc, "sys"), filepath.Join(proc, "sys"), true); err != nil {
		return err
	}

	return devices(filepath.Join(newRoot, "dev"))
}

func devices(dev string) error {
	if err := memory(dev, "mode=0755"); err != nil {
		return err
	}

	for _, name := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		if err := bind("/dev/"+name, filepath.Join(dev, name), false); err != nil {
			return err
		}
	}

	if err := memory(filepath.Join(dev, "shm"), "mode=1777"); err != nil {
		return err
	}

	pts := filepath.Join(dev, "pts")
	if err := os.Mkdir(pts, 0o755); err != nil {
		return err
	}

	if err := unix.Mount("devpts", pts, "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"); err != nil {
		return wrap("mount", pts, err)
	}

	for name, link := range map[string]string{
		"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
	} {
		if err := os.Symlink(link, filepath.Join(dev, name)); err != nil {
			return err
		}
	}

	return nil
}

// executePlan is a command in a running container.
type executePlan struct {
	Arguments, Environment []string
	Directory              string
	Terminal               bool
}

// execute runs a command in the namespaces it was given, the mount namespace last, and ends with the command's status.
func execute(arguments []string) error {
	var plan executePlan

	if err := json.NewDecoder(os.NewFile(fdPlan, "plan")).Decode(&plan); err != nil {
		return err
	}

	unix.CloseOnExec(fdPlan)

	if err := unix.Close(fdFailure); err != nil { // from here on failures go to the client
		return err
	}

	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return err
	}

	if err := enterNamespaces(len(arguments)); err != nil {
		return err
	}

	path, err := lookPath(plan.Arguments[0], plan.Environment)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)

		return exitStatus(127)
	}

	command := &exec.Cmd{
		Path: path, Args: plan.Arguments, Env: plan.Environment, Dir: plan.Directory,
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		// No Pdeathsig: Go compares the parent's PID, which is another one inside, and would kill the child.
		SysProcAttr: &syscall.SysProcAttr{Setsid: true, Setctty: plan.Terminal},
	}

	err = runUntilTold(command)

	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return exitStatus(statusCode(failed.ProcessState))
	}

	if err != nil {
		fmt.Fprintln(os.Stderr, err)

		return exitStatus(126)
	}

	return nil
}

// runUntilTold kills the command's session when this process is told to end.
func runUntilTold(command *exec.Cmd) error {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM)

	if err := command.Start(); err != nil {
		return err
	}

	go func() {
		<-told

		_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
	}()

	return command.Wait()
}

// statusCode is the shell's: 128 and the signal's number for a killed process.
func statusCode(state *os.ProcessState) int {
	if wait, ok := state.Sys().(syscall.WaitStatus); ok && wait.Signaled() {
		return 128 + int(wait.Signal())
	}

	return state.ExitCode()
}
