// SPDX-License-Identifier: GPL-3.0-or-later

package main

import "golang.org/x/sys/unix"

const nativeArchitecture = unix.AUDIT_ARCH_AARCH64

var ownershipCalls = []uint32{unix.SYS_FCHOWN, unix.SYS_FCHOWNAT}
