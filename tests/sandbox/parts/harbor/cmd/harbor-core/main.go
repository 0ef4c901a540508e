// SPDX-License-Identifier: GPL-3.0-or-later

// Command harbor-core is the sandbox's stand-in for goharbor/harbor-core.
package main

import (
	"context"
	"os"
	"time"

	"splithorizon.example/sandbox/harbor/internal/core"
	"splithorizon.example/sandbox/harbor/internal/service"
)

func main() {
	service.Exit(run())
}

func run() error {
	config, err := core.FromEnvironment(os.Getenv)
	if err != nil {
		return err
	}
	if err := core.AwaitDatabase(context.Background(), config.Database, time.Minute); err != nil {
		return err
	}
	server, err := core.New(context.Background(), config)
	if err != nil {
		return err
	}
	return service.Serve(config.Listen, server, config.Startup)
}
