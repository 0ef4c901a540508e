// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/grpc"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming"

	"splithorizon.example/sandbox/talos/internal/pull"
)

// containerRuntime is the CRI's RuntimeService. What it knows is in memory: its processes end with it, and the kubelet
// makes the pods again.
type containerRuntime struct {
	cri.UnimplementedRuntimeServiceServer

	options   options
	log       *slog.Logger
	images    *images
	addresses *addressPool
	nodeIP    netip.Addr
	starter   *starter
	streams   streaming.Server

	mu         sync.Mutex
	sandboxes  map[string]*sandbox
	containers map[string]*container
}

func newRuntime(o options, log *slog.Logger) (*containerRuntime, error) {
	addresses, err := newAddressPool(o.PodCIDR)
	if err != nil {
		return nil, err
	}

	nodeIP, err := netip.ParseAddr(o.NodeIP)
	if err != nil {
		return nil, fmt.Errorf("--node-ip: %w", err)
	}

	known, err := readTable(inImages)
	if err != nil {
		return nil, err
	}

	if o.SystemCA != "" {
		if err := pull.TrustOnly(inCA); err != nil {
			return nil, err
		}
	}

	puller, err := newPuller(o.Resolver, inState)
	if err != nil {
		return nil, err
	}

	return &containerRuntime{
		options: o, log: log, addresses: addresses, nodeIP: nodeIP, starter: newStarter(),
		images:    &images{known: known, puller: puller, ids: map[string]string{}},
		sandboxes: map[string]*sandbox{}, containers: map[string]*container{},
	}, nil
}

// serve answers on sockets until ctx ends, and then kills what runs.
func (r *containerRuntime) serve(ctx context.Context, sockets ...string) error {
	server := grpc.NewServer()
	cri.RegisterRuntimeServiceServer(server, r)
	cri.RegisterImageServiceServer(server, r.images)

	failed := make(chan error, len(sockets)+1)

	streams, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}

	config := streaming.DefaultConfig
	config.BaseURL = &url.URL{Scheme: "http", Host: streams.Addr().String()}

	if r.streams, err = streaming.NewServer(config, streamer{r}); err != nil {
		return err
	}

	go func() { failed <- (&http.Server{Handler: r.streams, ReadHeaderTimeout: time.Minute}).Serve(streams) }()

	for _, socket := range sockets {
		listener, err := listenAt(socket)
		if err != nil {
			return err
		}

		go func() { failed <- server.Serve(listener) }()
	}

	r.log.Info("ready", "node", r.options.NodeName, "sockets", sockets)

	select {
	case err = <-failed:
	case <-ctx.Done():
	}

	server.Stop()
	r.end()

	return err
}

func listenAt(socket string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(socket), 0o755); err != nil {
		return nil, err
	}

	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}

	return net.Listen("unix", socket)
}

// end kills all containers and takes the network interfaces away.
func (r *containerRuntime) end() {
	for _, one := range snapshot(&r.mu, r.sandboxes) {
		if err := r.stopSandbox(context.Background(), one); err != nil {
			r.log.Error("end", "pod", one.name(), "error", err)
		}
	}
}

func snapshot[T any](mu *sync.Mutex, all map[string]T) []T {
	mu.Lock()
	defer mu.Unlock()

	list := make([]T, 0, len(all))
	for _, one := range all {
		list = append(list, one)
	}

	return list
}

func newID() string {
	id := make([]byte, 32)
	_, _ = rand.Read(id)

	return hex.EncodeToString(id)
}

func now() int64 { return time.Now().UnixNano() }

// Version does not pretend to be containerd: `kubectl get nodes -o wide` shows what runs the pods.
func (r *containerRuntime) Version(context.Context, *cri.VersionRequest) (*cri.VersionResponse, error) {
	return &cri.VersionResponse{Version: "0.1.0", RuntimeName: "pod-runtime", RuntimeVersion: "1.0.0", RuntimeApiVersion: "v1"}, nil
}

// Status is ready from the first answer on: there is no network plugin to wait for.
func (r *containerRuntime) Status(context.Context, *cri.StatusRequest) (*cri.StatusResponse, error) {
	return &cri.StatusResponse{Status: &cri.RuntimeStatus{Conditions: []*cri.RuntimeCondition{
		{Type: cri.RuntimeReady, Status: true},
		{Type: cri.NetworkReady, Status: true},
	}}}, nil
}

func (r *containerRuntime) RuntimeConfig(context.Context, *cri.RuntimeConfigRequest) (*cri.RuntimeConfigResponse, error) {
	return &cri.RuntimeConfigResponse{Linux: &cri.LinuxRuntimeConfiguration{CgroupDriver: cri.CgroupDriver_CGROUPFS}}, nil
}

func (r *containerRuntime) UpdateRuntimeConfig(context.Context, *cri.UpdateRuntimeConfigRequest) (*cri.UpdateRuntimeConfigResponse, error) {
	return &cri.UpdateRuntimeConfigResponse{}, nil
}

// UpdateContainerResources accepts: there are no cgroups to update.
func (r *containerRuntime) UpdateContainerResources(
	context.Context, *cri.UpdateContainerResourcesRequest,
) (*cri.UpdateContainerResourcesResponse, error) {
	return &cri.UpdateContainerResourcesResponse{}, nil
}

func (r *containerRuntime) UpdatePodSandboxResources(
	context.Context, *cri.UpdatePodSandboxResourcesRequest,
) (*cri.UpdatePodSandboxResourcesResponse, error) {
	return &cri.UpdatePodSandboxResourcesResponse{}, nil
}

func (r *containerRuntime) Exec(_ context.Context, request *cri.ExecRequest) (*cri.ExecResponse, error) {
	if _, err := r.running(request.GetContainerId()); err != nil {
		return nil, err
	}

	return r.streams.GetExec(request)
}

func (r *containerRuntime) Attach(_ context.Context, request *cri.AttachRequest) (*cri.AttachResponse, error) {
	if _, err := r.running(request.GetContainerId()); err != nil {
		return nil, err
	}

	return r.streams.GetAttach(request)
}

func (r *containerRuntime) PortForward(_ context.Context, request *cri.PortForwardRequest) (*cri.PortForwardResponse, error) {
	if _, err := r.sandbox(request.GetPodSandboxId()); err != nil {
		return nil, err
	}

	return r.streams.GetPortForward(request)
}

// The kubelet's summary needs these to answer; nothing is measured.

func (r *containerRuntime) ContainerStats(_ context.Context, request *cri.ContainerStatsRequest) (*cri.ContainerStatsResponse, error) {
	one, err := r.container(request.GetContainerId())
	if err != nil {
		return nil, err
	}

	return &cri.ContainerStatsResponse{Stats: one.stats()}, nil
}

func (r *containerRuntime) ListContainerStats(
	_ context.Context, request *cri.ListContainerStatsRequest,
) (*cri.ListContainerStatsResponse, error) {
	response := &cri.ListContainerStatsResponse{}
	filter := request.GetFilter()

	for _, one := range snapshot(&r.mu, r.containers) {
		if matches(filter.GetId(), one.id) && matches(filter.GetPodSandboxId(), one.sandbox.id) &&
			selects(filter.GetLabelSelector(), one.config.GetLabels()) {
			response.Stats = append(response.Stats, one.stats())
		}
	}

	return response, nil
}

func (r *containerRuntime) PodSandboxStats(_ context.Context, request *cri.PodSandboxStatsRequest) (*cri.PodSandboxStatsResponse, error) {
	one, err := r.sandbox(request.GetPodSandboxId())
	if err != nil {
		return nil, err
	}

	return &cri.PodSandboxStatsResponse{Stats: &cri.PodSandboxStats{
		Attributes: &cri.PodSandboxAttributes{Id: one.id, Metadata: one.config.GetMetadata(), Labels: one.config.GetLabels()},
	}}, nil
}

func (r *containerRuntime) ListPodSandboxStats(
	context.Context, *cri.ListPodSandboxStatsRequest,
) (*cri.ListPodSandboxStatsResponse, error) {
	return &cri.ListPodSandboxStatsResponse{}, nil
}

func matches(wanted, id string) bool {
	return wanted == "" || len(id) >= len(wanted) && id[:len(wanted)] == wanted
}

func selects(wanted, labels map[string]string) bool {
	for key, value := range wanted {
		if labels[key] != value {
			return false
		}
	}

	return true
}
