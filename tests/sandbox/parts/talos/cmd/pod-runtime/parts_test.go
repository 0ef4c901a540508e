// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestAddressPool(t *testing.T) {
	pool, err := newAddressPool("10.244.1.0/29")
	if err != nil {
		t.Fatal(err)
	}

	var got []string

	for range 6 {
		address, err := pool.take()
		if err != nil {
			t.Fatal(err)
		}

		got = append(got, address.String())
	}

	want := "10.244.1.1 10.244.1.2 10.244.1.3 10.244.1.4 10.244.1.5 10.244.1.6"
	if strings.Join(got, " ") != want {
		t.Fatalf("got %s", got)
	}

	if address, err := pool.take(); err == nil {
		t.Fatalf("the network and broadcast addresses are not for pods, got %s", address)
	}

	pool.give(netip.MustParseAddr("10.244.1.3"))

	if address, err := pool.take(); err != nil || address.String() != "10.244.1.3" {
		t.Fatalf("got %s, %v", address, err)
	}
}

func TestAddressPoolRefused(t *testing.T) {
	for _, cidr := range []string{"", "10.244.1.0", "10.244.1.0/31", "fd00::/64"} {
		if _, err := newAddressPool(cidr); err == nil {
			t.Errorf("%q: no error", cidr)
		}
	}
}

func TestLogFormat(t *testing.T) {
	folder := t.TempDir()

	log, err := newContainerLog(folder, "core/0.log")
	if err != nil {
		t.Fatal(err)
	}

	stdout, stderr := log.stream("stdout"), log.stream("stderr")
	for _, text := range []string{"one\ntw", "o\n\n", strings.Repeat("x", longestLine+1) + "\n"} {
		if _, err := stdout.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}

	if _, err := stderr.Write([]byte("no line end")); err != nil {
		t.Fatal(err)
	}

	log.end()

	content, err := os.ReadFile(filepath.Join(folder, "core/0.log"))
	if err != nil {
		t.Fatal(err)
	}

	time := `(?m)^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z `
	got := regexp.MustCompile(time).ReplaceAllString(string(content), "")
	want := "stdout F one\nstdout F two\nstdout F \nstdout P " + strings.Repeat("x", longestLine) + "\nstdout F x\nstderr F no line end\n"

	if got != want {
		t.Fatalf("got %q", got)
	}
}

// run interprets the instructions that the filter is made of.
func run(t *testing.T, filter []unix.SockFilter, architecture, call uint32) uint32 {
	t.Helper()

	var loaded uint32

	for at := 0; at < len(filter); at++ {
		switch one := filter[at]; one.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			loaded = map[uint32]uint32{0: call, 4: architecture}[one.K]
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			if loaded == one.K {
				at += int(one.Jt)
			} else {
				at += int(one.Jf)
			}
		case unix.BPF_RET | unix.BPF_K:
			return one.K
		}
	}

	t.Fatal("the filter does not answer")

	return 0
}

func TestOwnershipFilter(t *testing.T) {
	filter := ownershipFilter()

	for _, call := range ownershipCalls {
		if got := run(t, filter, nativeArchitecture, call); got != unix.SECCOMP_RET_ERRNO {
			t.Errorf("call %d: %x", call, got)
		}

		if got := run(t, filter, nativeArchitecture+1, call); got != unix.SECCOMP_RET_ALLOW {
			t.Errorf("call %d of another architecture: %x", call, got)
		}
	}

	if got := run(t, filter, nativeArchitecture, unix.SYS_OPENAT); got != unix.SECCOMP_RET_ALLOW {
		t.Errorf("openat: %x", got)
	}
}
