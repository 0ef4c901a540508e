// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// sandbox is a pod: its namespaces and its address.
type sandbox struct {
	id        string
	config    *cri.PodSandboxConfig
	createdAt int64

	namespaces *namespaces // network (not with hostNetwork), UTS and IPC; nil when stopped
	address    netip.Addr  // invalid with hostNetwork
	link       string      // the node's end of the pod's veth pair
	hostPorts  []io.Closer

	stopping sync.Mutex // one stop at a time
}

func (s *sandbox) name() string {
	return s.config.GetMetadata().GetNamespace() + "/" + s.config.GetMetadata().GetName()
}

func (s *sandbox) hostNetwork() bool {
	return s.config.GetLinux().GetSecurityContext().GetNamespaceOptions().GetNetwork() == cri.NamespaceMode_NODE
}

func (s *sandbox) hostname(node string) string {
	if name := s.config.GetHostname(); name != "" {
		return name
	}

	return node
}

func (s *sandbox) state() cri.PodSandboxState {
	if s.namespaces == nil {
		return cri.PodSandboxState_SANDBOX_NOTREADY
	}

	return cri.PodSandboxState_SANDBOX_READY
}

func (r *containerRuntime) sandbox(id string) (*sandbox, error) {
	r.mu.Lock()
	defer r.mu.Unlock()

	if one, ok := r.sandboxes[id]; ok {
		return one, nil
	}

	return nil, status.Errorf(codes.NotFound, "no pod sandbox %q", id)
}

// RunPodSandbox makes the pod's namespaces and connects them.
func (r *containerRuntime) RunPodSandbox(_ context.Context, request *cri.RunPodSandboxRequest) (*cri.RunPodSandboxResponse, error) {
	one := &sandbox{id: newID(), config: request.GetConfig(), createdAt: now()}

	var err error

	one.namespaces, err = newNamespaces(one.hostname(r.options.NodeName), !one.hostNetwork())
	if err != nil {
		return nil, err
	}

	if !one.hostNetwork() {
		if err := r.connect(one); err != nil {
			return nil, errors.Join(err, r.disconnect(one), one.namespaces.close())
		}
	}

	if directory := one.config.GetLogDirectory(); directory != "" {
		if err := os.MkdirAll(directory, 0o755); err != nil {
			return nil, errors.Join(err, r.disconnect(one), one.namespaces.close())
		}
	}

	r.mu.Lock()
	r.sandboxes[one.id] = one
	r.mu.Unlock()

	r.log.Info("pod started", "pod", one.name(), "address", one.address, "id", one.id[:12])

	return &cri.RunPodSandboxResponse{PodSandboxId: one.id}, nil
}

func (r *containerRuntime) connect(one *sandbox) error {
	address, err := r.addresses.take()
	if err != nil {
		return err
	}

	one.address, one.link = address, "pod"+one.id[:10]

	if err := connectPod(one.namespaces.network, one.link, address, r.nodeIP); err != nil {
		return err
	}

	one.hostPorts, err = openHostPorts(one.config.GetPortMappings(), r.nodeIP, address)

	return err
}

func (r *containerRuntime) disconnect(one *sandbox) error {
	var failures error

	for _, port := range one.hostPorts {
		failures = errors.Join(failures, port.Close())
	}

	one.hostPorts = nil

	if one.link != "" {
		failures = errors.Join(failures, removeLink(one.link))
		one.link = ""

		r.addresses.give(one.address)
	}

	return failures
}

// StopPodSandbox kills what still runs in the pod; the kubelet has stopped its containers before.
func (r *containerRuntime) StopPodSandbox(ctx context.Context, request *cri.StopPodSandboxRequest) (*cri.StopPodSandboxResponse, error) {
	one, err := r.sandbox(request.GetPodSandboxId())
	if err != nil {
		return &cri.StopPodSandboxResponse{}, nil // gone is stopped, says the CRI
	}

	return &cri.StopPodSandboxResponse{}, r.stopSandbox(ctx, one)
}

func (r *containerRuntime) stopSandbox(ctx context.Context, one *sandbox) error {
	one.stopping.Lock()
	defer one.stopping.Unlock()

	for _, inside := range r.containersOf(one) {
		if err := inside.stop(ctx, 0); err != nil {
			return err
		}
	}

	r.mu.Lock()
	held := one.namespaces
	one.namespaces = nil
	r.mu.Unlock()

	if held == nil {
		return nil
	}

	return errors.Join(r.disconnect(one), held.close())
}

func (r *containerRuntime) containersOf(one *sandbox) []*container {
	var list []*container

	for _, inside := range snapshot(&r.mu, r.containers) {
		if inside.sandbox == one {
			list = append(list, inside)
		}
	}

	return list
}

func (r *containerRuntime) RemovePodSandbox(ctx context.Context, request *cri.RemovePodSandboxRequest) (*cri.RemovePodSandboxResponse, error) {
	one, err := r.sandbox(request.GetPodSandboxId())
	if err != nil {
		return &cri.RemovePodSandboxResponse{}, nil
	}

	if err := r.stopSandbox(ctx, one); err != nil {
		return nil, err
	}

	for _, inside := range r.containersOf(one) {
		r.forget(inside)
	}

	r.mu.Lock()
	delete(r.sandboxes, one.id)
	r.mu.Unlock()

	return &cri.RemovePodSandboxResponse{}, nil
}

func (r *containerRuntime) PodSandboxStatus(_ context.Context, request *cri.PodSandboxStatusRequest) (*cri.PodSandboxStatusResponse, error) {
	one, err := r.sandbox(request.GetPodSandboxId())
	if err != nil {
		return nil, err
	}

	r.mu.Lock()
	defer r.mu.Unlock()

	network := &cri.PodSandboxNetworkStatus{}
	if one.address.IsValid() {
		network.Ip = one.address.String()
	}

	return &cri.PodSandboxStatusResponse{Status: &cri.PodSandboxStatus{
		Id: one.id, Metadata: one.config.GetMetadata(), State: one.state(), CreatedAt: one.createdAt, Network: network,
		Labels: one.config.GetLabels(), Annotations: one.config.GetAnnotations(),
		Linux: &cri.LinuxPodSandboxStatus{Namespaces: &cri.Namespace{
			Options: one.config.GetLinux().GetSecurityContext().GetNamespaceOptions(),
		}},
	}}, nil
}

func (r *containerRuntime) ListPodSandbox(_ context.Context, request *cri.ListPodSandboxRequest) (*cri.ListPodSandboxResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()

	response := &cri.ListPodSandboxResponse{}
	filter := request.GetFilter()

	for _, one := range r.sandboxes {
		state := one.state()
		if !matches(filter.GetId(), one.id) || !selects(filter.GetLabelSelector(), one.config.GetLabels()) ||
			filter.GetState() != nil && filter.GetState().GetState() != state {
			continue
		}

		response.Items = append(response.Items, &cri.PodSandbox{
			Id: one.id, Metadata: one.config.GetMetadata(), State: state, CreatedAt: one.createdAt,
			Labels: one.config.GetLabels(), Annotations: one.config.GetAnnotations(),
		})
	}

	return response, nil
}
