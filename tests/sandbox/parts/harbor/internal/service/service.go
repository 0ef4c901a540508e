// SPDX-License-Identifier: GPL-3.0-or-later

// Package service runs the sandbox's HTTP servers: until the signal that ends a pod, and no longer.
package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const drain = 5 * time.Second

// Serve answers on address until SIGTERM or SIGINT, then lets running requests end for a few seconds.
// It opens the port only after delay: a program that is still starting refuses connections.
func Serve(address string, handler http.Handler, delay time.Duration) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	select {
	case <-ctx.Done():
		return nil
	case <-time.After(delay):
	}
	server := &http.Server{Addr: address, Handler: handler, ReadHeaderTimeout: 30 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	slog.Info("listening", "address", address)
	select {
	case err := <-failed:
		return fmt.Errorf("serve on %s: %w", address, err)
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	if err := server.Shutdown(end); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("shut down: %w", err)
	}
	return nil
}

// Exit ends the program with the error on stderr, if there is one.
func Exit(err error) {
	if err != nil {
		slog.Error("exit with error", "err", err)
		os.Exit(1)
	}
}
