// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"splithorizon.example/sandbox/talos/internal/node"
)

// fleet runs many nodes in this one process: args is a file with a JSON list of node.Options. All of them end with the
// first one that fails; a node that is told to die takes the others with it.
func fleet(args []string) error {
	if len(args) != 1 {
		return errors.New("fleet: want one file with a JSON list of nodes")
	}

	text, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}

	var list []node.Options
	if err := json.Unmarshal(text, &list); err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()

	var (
		running  sync.WaitGroup
		failures = make([]error, len(list))
	)

	for i, options := range list {
		running.Go(func() {
			one, err := node.New(options)
			if err == nil {
				err = one.Run(ctx)
			}

			if err != nil {
				failures[i] = fmt.Errorf("%s: %w", options.Name, err)

				stop()
			}
		})
	}

	running.Wait()

	return errors.Join(failures...)
}
