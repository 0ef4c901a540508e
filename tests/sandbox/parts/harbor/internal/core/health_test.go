// SPDX-License-Identifier: GPL-3.0-or-later

package core

import (
	"net"
	"testing"
	"time"
)

func TestTheDatabaseIsWaitedFor(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := AwaitDatabase(t.Context(), address, time.Second); err != nil {
		t.Error(err)
	}
	listener.Close()
	if err := AwaitDatabase(t.Context(), address, 10*time.Millisecond); err == nil {
		t.Error("a database that nothing serves was found")
	}
	if err := AwaitDatabase(t.Context(), "", 0); err != nil {
		t.Error("there is none to wait for:", err)
	}
}
