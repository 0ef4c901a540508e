// SPDX-License-Identifier: GPL-3.0-or-later

package node

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A node can be told to fail by a file control.json in its state directory, read anew on each request:
//
//	{"before-apply": {"action": "refuse", "code": "UNAVAILABLE", "message": "not now", "times": 1}}
//
// Points: before-apply, after-persist (stored, not yet active; not in a try), after-apply (active, not yet answered),
// before-read (files, directories and resources), pull.
//
// Actions: refuse (a gRPC error; code, by gRPC's canonical name, and message are optional), hang (until the client gives
// up), die (the process exits with 70). times counts down in the file and removes the entry at the end; without it the
// point fails until the file is taken away.
const (
	beforeApply  = "before-apply"
	afterPersist = "after-persist"
	afterApply   = "after-apply"
	beforeRead   = "before-read"
	beforePull   = "pull"
)

const exitTold = 70

// points says at which point a method stops before it starts.
var points = map[string]string{
	"/machine.MachineService/ApplyConfiguration": beforeApply,
	"/machine.MachineService/Read":               beforeRead,
	"/machine.MachineService/List":               beforeRead,
	"/cosi.resource.State/Get":                   beforeRead,
	"/cosi.resource.State/List":                  beforeRead,
	"/cosi.resource.State/Watch":                 beforeRead,
	"/machine.MachineService/ImagePull":          beforePull,
	"/machine.ImageService/Pull":                 beforePull,
}

type failure struct {
	Action  string     `json:"action"`
	Code    codes.Code `json:"code,omitempty"`
	Message string     `json:"message,omitempty"`
	Times   *int       `json:"times,omitempty"`
}

var controlMu sync.Mutex

// control fails at point if the node is told to. A file that cannot be read or understood is an error too, lest a test
// go on as if nothing had been asked.
func (n *Node) control(ctx context.Context, point string) error {
	told, err := n.told(point)
	if err != nil {
		return status.Errorf(codes.Internal, "control.json: %v", err)
	}

	if told == nil {
		return nil
	}

	log.Printf("told to %s at %s", told.Action, point)

	switch told.Action {
	case "refuse":
		if told.Code == codes.OK {
			told.Code = codes.Unavailable
		}

		if told.Message == "" {
			told.Message = "told to refuse at " + point
		}

		return status.Error(told.Code, told.Message)
	case "hang":
		<-ctx.Done()

		return status.FromContextError(ctx.Err()).Err()
	case "die":
		os.Exit(exitTold)
	}

	return status.Errorf(codes.Internal, "control.json: unknown action %q", told.Action)
}

func (n *Node) told(point string) (*failure, error) {
	controlMu.Lock()
	defer controlMu.Unlock()

	name := filepath.Join(n.State, "control.json")

	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}

	if err != nil {
		return nil, err
	}

	var all map[string]*failure
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, err
	}

	told := all[point]
	if told == nil || told.Times == nil {
		return told, nil
	}

	if *told.Times--; *told.Times <= 0 {
		delete(all, point)
	}

	if text, err = json.Marshal(all); err != nil {
		return nil, err
	}

	return told, writeAtomically(name, append(text, '\n'), 0o600)
}

func (n *Node) controlUnary() grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		if point, ok := points[info.FullMethod]; ok {
			if err := n.control(ctx, point); err != nil {
				return nil, err
			}
		}

		return handler(ctx, req)
	}
}

func (n *Node) controlStream() grpc.StreamServerInterceptor {
	return func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		if point, ok := points[info.FullMethod]; ok {
			if err := n.control(stream.Context(), point); err != nil {
				return err
			}
		}

		return handler(srv, stream)
	}
}
