// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Paths of the node's file system that come from outside it.
const (
	inHost     = "/run/host"           // what the machine lends
	inHostEtc  = inHost + "/etc"       // the machine's /etc: certificates, loader cache, alternatives
	inBin      = inHost + "/bin"       // the sandbox's programs
	inImages   = inHost + "/images"    // the table of known images
	inState    = inHost + "/state"     // the image store
	inCA       = inHost + "/system-ca" // what pulls trust
	inNodeName = inHost + "/node-name"
)

// Folders of a machine that programs need, and that the node and every container see read-only.
var systemFolders = []string{"usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "nix", "gnu"}

// The kubelet insists on these values; private files in their place keep it from changing the machine's.
var kubeletSysctls = map[string]string{
	"vm/overcommit_memory":      "1",
	"vm/panic_on_oom":           "0",
	"kernel/panic":              "10",
	"kernel/panic_on_oops":      "1",
	"kernel/keys/root_maxkeys":  "1000000",
	"kernel/keys/root_maxbytes": "25000000",
}

// keeperFile names the process that keeps the node's mount namespace alive. (Binding the namespace to a file is not an
// option: Linux 6.18 refuses it now and then, because it compares identifiers that are not in order of creation.)
func keeperFile(runDir string) string { return filepath.Join(runDir, "node.pid") }

// keeperOf gives the directory in /proc of a node's keeper, if that is what the process still is.
func keeperOf(o options) (string, bool) {
	pid, err := os.ReadFile(keeperFile(o.RunDir))
	if err != nil {
		return "", false
	}

	process := filepath.Join("/proc", string(pid))
	name, err := os.ReadFile(filepath.Join(process, "root", inNodeName))

	return process, err == nil && string(name) == o.NodeName
}

// ensureNode makes the node's mount namespace, unless a pod-runtime before this one did: the kubelet goes on in it when
// pod-runtime is restarted.
func ensureNode(o options) error {
	if _, ok := keeperOf(o); ok {
		return nil
	}

	arguments, err := json.Marshal(o)
	if err != nil {
		return err
	}

	keeper := exec.Command("/proc/self/exe", stageNode, string(arguments))
	keeper.Stderr = os.Stderr
	keeper.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS, Setsid: true}

	ready, err := keeper.StdoutPipe()
	if err != nil {
		return err
	}

	if err := keeper.Start(); err != nil {
		return err
	}

	if failure, _ := io.ReadAll(ready); len(failure) > 0 {
		return errors.Join(errors.New(string(failure)), keeper.Wait())
	}

	return os.WriteFile(keeperFile(o.RunDir), []byte(strconv.Itoa(keeper.Process.Pid)), 0o600)
}

// execInNode replaces this process with program, in the node's mount namespace. The program is found outside of it.
func execInNode(o options, program string, arguments []string) error {
	path, err := exec.LookPath(program)
	if err != nil {
		return err
	}

	file, err := unix.Open(path, unix.O_PATH, 0) // stays open over the exec: the file may have no name in there
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}

	keeper, ok := keeperOf(o)
	if !ok {
		return fmt.Errorf("no node %s at %s: is its pod-runtime running?", o.NodeName, o.RunDir)
	}

	namespace, err := unix.Open(filepath.Join(keeper, "ns/mnt"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}

	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return err
	}

	if err := unix.Setns(namespace, unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("enter the node's mount namespace: %w", err)
	}

	if err := unix.Chdir("/"); err != nil {
		return err
	}

	if err := ignoreOwnership(); err != nil {
		return err
	}

	return unix.Exec(fmt.Sprintf("/proc/self/fd/%d", file), arguments, os.Environ())
}

// buildNode is stageNode: it makes --node-root the root, with the machine's system folders over it, and stays.
func buildNode(arguments []string) error {
	var o options
	if err := json.Unmarshal([]byte(arguments[0]), &o); err != nil {
		return err
	}

	if err := mountNode(o); err != nil {
		fmt.Fprint(os.Stdout, err)

		return err
	}

	sleep, err := exec.LookPath("sleep")
	if err != nil {
		return err
	}

	unix.CloseOnExec(int(os.Stdout.Fd())) // its end says that the node is ready

	return unix.Exec(sleep, []string{"sleep", "infinity"}, os.Environ())
}

func mountNode(o options) error {
	root := o.NodeRoot
	steps := []func() error{
		func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") },
		func() error { return os.MkdirAll(root, 0o755) },
		func() error { return unix.Mount(root, root, "", unix.MS_BIND|unix.MS_REC, "") },
		func() error { return lendSystemFolders("/", root) },
		func() error { return nodeFolders(root, o.RunDir) },
		func() error { return lendFiles(root, o) },
		func() error { return maskSysctls(root) },
		func() error { return pivot(root) },
	}

	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}

	return nil
}

// nodeFolders mounts what a node has in memory: nothing that the kubelet writes is left on the disk.
func nodeFolders(root, runDir string) error {
	for _, name := range []string{"dev", "proc", "sys"} {
		if err := bind("/"+name, filepath.Join(root, name), false); err != nil {
			return err
		}
	}

	for _, name := range []string{"run", "tmp", "var/lib/kubelet", "var/log/pods", "var/log/containers"} {
		if err := memory(filepath.Join(root, name), "mode=0755"); err != nil {
			return err
		}
	}

	if err := os.MkdirAll(filepath.Join(root, "etc/kubernetes"), 0o755); err != nil {
		return err
	}

	return bind(runDir, filepath.Join(root, runDir), false)
}

func lendFiles(root string, o options) error {
	lent := []mountPlan{
		{Source: "/etc", Target: inHostEtc, ReadOnly: true},
		{Source: o.Images, Target: inImages, ReadOnly: true},
		{Source: o.State, Target: inState},
	}
	if o.SystemCA != "" {
		lent = append(lent, mountPlan{Source: o.SystemCA, Target: inCA, ReadOnly: true})
	}

	for _, one := range lent {
		if err := bind(one.Source, filepath.Join(root, one.Target), one.ReadOnly); err != nil {
			return err
		}
	}

	if err := os.WriteFile(filepath.Join(root, inNodeName), []byte(o.NodeName), 0o444); err != nil {
		return err
	}

	return lendPrograms(root, o.Bin)
}

func lendPrograms(root, bin string) error {
	if err := os.MkdirAll(filepath.Join(root, inBin), 0o755); err != nil {
		return err
	}

	programs, err := os.ReadDir(bin)
	if err != nil {
		return err
	}

	for _, program := range programs {
		source, err := filepath.EvalSymlinks(filepath.Join(bin, program.Name()))
		if err != nil || program.IsDir() {
			continue // a program that has not been built
		}

		if err := bind(source, filepath.Join(root, inBin, program.Name()), true); err != nil {
			return err
		}
	}

	return nil
}

// lendSystemFolders gives root the system folders of from, read-only, links as links.
func lendSystemFolders(from, root string) error {
	for _, name := range systemFolders {
		source, target := filepath.Join(from, name), filepath.Join(root, name)

		if link, err := os.Readlink(source); err == nil {
			if err := os.Symlink(strings.TrimPrefix(link, "/"), target); err != nil && !errors.Is(err, os.ErrExist) {
				return err
			}

			continue
		}

		if _, err := os.Stat(source); err != nil {
			continue
		}

		if err := bind(source, target, true); err != nil {
			return err
		}
	}

	return nil
}

func maskSysctls(root string) error {
	for name, value := range kubeletSysctls {
		target := filepath.Join(root, "proc/sys", name)
		if _, err := os.Stat(target); err != nil {
			continue
		}

		source := filepath.Join(root, inHost, "sysctl", strings.ReplaceAll(name, "/", "."))
		if err := os.MkdirAll(filepath.Dir(source), 0o755); err != nil {
			return err
		}

		if err := os.WriteFile(source, []byte(value+"\n"), 0o644); err != nil {
			return err
		}

		if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mask %s: %w", target, err)
		}
	}

	return nil
}
