// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// bind mounts source on target, with what is mounted below it; target is created as source is, file or directory.
func bind(source, target string, readOnly bool) error {
	info, err := os.Stat(source)
	if err != nil {
		return err
	}

	if err := mountPoint(target, info.IsDir()); err != nil {
		return err
	}

	if err := unix.Mount(source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind %s to %s: %w", source, target, err)
	}

	if readOnly {
		return makeReadOnly(target)
	}

	return nil
}

// makeReadOnly also reaches what is mounted below target where the kernel can (5.12).
func makeReadOnly(target string) error {
	err := unix.MountSetattr(unix.AT_FDCWD, target, unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
	if !errors.Is(err, unix.ENOSYS) {
		return wrap("make read-only", target, err)
	}

	var fs unix.Statfs_t
	if err := unix.Statfs(target, &fs); err != nil {
		return wrap("statfs", target, err)
	}

	// A mount from outside a user namespace keeps the restrictions it came with.
	kept := uintptr(fs.Flags) & (unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOATIME | unix.MS_NODIRATIME | unix.MS_RELATIME)

	return wrap("make read-only", target, unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|kept, ""))
}

func memory(target, settings string) error {
	if err := mountPoint(target, true); err != nil {
		return err
	}

	return wrap("mount tmpfs on", target, unix.Mount("tmpfs", target, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, settings))
}

// mountPoint creates an empty file or directory at target where nothing is.
func mountPoint(target string, directory bool) error {
	if directory {
		return os.MkdirAll(target, 0o755)
	}

	if _, err := os.Lstat(target); err == nil {
		return nil
	}

	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}

	return os.WriteFile(target, nil, 0o644)
}

// pivot makes root, a mount, the root of this mount namespace and lets go of everything else.
func pivot(root string) error {
	if err := unix.Chdir(root); err != nil {
		return wrap("enter", root, err)
	}

	if err := unix.PivotRoot(".", "."); err != nil {
		return wrap("pivot to", root, err)
	}

	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return wrap("leave the old root for", root, err)
	}

	return unix.Chdir("/")
}

func wrap(doing, path string, err error) error {
	if err == nil {
		return nil
	}

	return fmt.Errorf("%s %s: %w", doing, path, err)
}
