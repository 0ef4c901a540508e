// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"fmt"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ignoreOwnership makes changes of owner succeed without effect, for this thread and what it executes, where the user
// namespace has not all users: the kubelet gives volumes to the fsGroup or runAsUser of a pod, and a pod runs as root here.
func ignoreOwnership() error {
	users, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return err
	}

	if fields := strings.Fields(string(users)); len(fields) == 3 && fields[2] == "4294967295" {
		return nil
	}

	filter := ownershipFilter()
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}

	//nolint:gosec // the kernel reads the program before the call returns
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0); err != nil {
		return fmt.Errorf("filter changes of owner: %w", err)
	}

	return nil
}

// ownershipFilter answers 0 to each of ownershipCalls, and lets every other call through.
func ownershipFilter() []unix.SockFilter {
	const (
		load   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		answer = unix.BPF_RET | unix.BPF_K
	)

	calls := len(ownershipCalls)
	filter := []unix.SockFilter{
		{Code: load, K: 4}, // seccomp_data.arch
		{Code: equal, K: nativeArchitecture, Jf: uint8(calls + 1)},
		{Code: load, K: 0}, // seccomp_data.nr
	}

	for i, call := range ownershipCalls {
		filter = append(filter, unix.SockFilter{Code: equal, K: call, Jt: uint8(calls - i)})
	}

	return append(filter,
		unix.SockFilter{Code: answer, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: answer, K: unix.SECCOMP_RET_ERRNO},
	)
}
