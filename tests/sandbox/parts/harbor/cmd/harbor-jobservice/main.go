// SPDX-License-Identifier: GPL-3.0-or-later

// Command harbor-jobservice is the sandbox's stand-in for goharbor/harbor-jobservice. Of its environment it reads
// CORE_URL; PORT stands for the port of its config.yml, SANDBOX_LISTEN for the address. It waits for core as Harbor's
// does, unless SANDBOX_ALONE is set.
package main

import (
	"context"
	"errors"
	"os"
	"time"

	"splithorizon.example/sandbox/harbor/internal/jobservice"
	"splithorizon.example/sandbox/harbor/internal/service"
)

func main() {
	service.Exit(run())
}

func run() error {
	coreURL := os.Getenv("CORE_URL")
	if coreURL == "" {
		return errors.New("CORE_URL is not set")
	}
	if os.Getenv("SANDBOX_ALONE") == "" {
		if err := jobservice.AwaitCore(context.Background(), coreURL, 30*time.Second); err != nil {
			return err
		}
	}
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	return service.Serve(os.Getenv("SANDBOX_LISTEN")+":"+port, jobservice.New(coreURL, time.Now), 0)
}
