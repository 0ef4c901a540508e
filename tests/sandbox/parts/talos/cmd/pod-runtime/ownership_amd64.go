// SPDX-License-Identifier: GPL-3.0-or-later

package main

import "golang.org/x/sys/unix"

const nativeArchitecture = unix.AUDIT_ARCH_X86_64

var ownershipCalls = []uint32{unix.SYS_CHOWN, unix.SYS_FCHOWN, unix.SYS_LCHOWN, unix.SYS_FCHOWNAT}
