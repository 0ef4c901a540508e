// SPDX-License-Identifier: GPL-3.0-or-later

// Command harbor-jobservice is the sandbox's stand-in for goharbor/harbor-jobservice. Of its environment it reads
// CORE_URL; PORT stands for the port of its config.yml, SANDBOX_LISTEN for the address.
package main

import (
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
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	return service.Serve(os.Getenv("SANDBOX_LISTEN")+":"+port, jobservice.New(coreURL, time.Now), 0)
}
