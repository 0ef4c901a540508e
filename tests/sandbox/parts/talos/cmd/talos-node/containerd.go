// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"os"
	"time"

	"splithorizon.example/sandbox/talos/internal/pull"
)

// answer tells of one pull: the image, or why there is none.
type answer struct {
	Image string `json:"image,omitempty"`
	Error string `json:"error,omitempty"`
}

// containerd pulls the images named on stdin, one a line, as a node's containerd does that runs from now on, and answers
// each with a line of JSON. So a test sees what a node's pods would get without a pod-runtime, which needs namespaces.
func containerd(args []string) error {
	var (
		node    pull.Node
		timeout time.Duration
	)

	flags := flag.NewFlagSet("talos-node containerd", flag.ExitOnError)
	flags.StringVar(&node.Root, "root", "", "`directory` that is the node's /")
	flags.StringVar(&node.State, "state", "", "the node's `directory` of images.json and cri-start")
	flags.StringVar(&node.Resolver, "resolver", "", "DNS server, `host:port`")
	flags.DurationVar(&timeout, "timeout", 10*time.Second, "of one pull")
	flags.Parse(args) //nolint:errcheck // exits by itself

	cri, err := node.StartCRI()
	if err != nil {
		return err
	}

	lines, answers := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	for lines.Scan() {
		if err := answers.Encode(pullOne(cri, lines.Text(), timeout)); err != nil {
			return err
		}
	}

	return lines.Err()
}

func pullOne(cri *pull.CRI, ref string, timeout time.Duration) answer {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()

	image, err := cri.Pull(ctx, ref, nil)
	if err != nil {
		return answer{Error: err.Error()}
	}

	return answer{Image: image.RepoDigest()}
}
