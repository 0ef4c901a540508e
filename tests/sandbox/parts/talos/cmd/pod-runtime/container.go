// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// container is one process of a pod, and what runs below it.
type container struct {
	id        string
	sandbox   *sandbox
	config    *cri.ContainerConfig
	imageRef  string
	plan      containerPlan
	createdAt int64
	log       *containerLog

	ended chan struct{} // closed when the process is gone

	mu         sync.Mutex
	command    *exec.Cmd // nil before the start
	stdin      *os.File  // the writing end, when the container has one
	startedAt  int64
	finishedAt int64
	exitCode   int32
	reason     string
	message    string
}

func (r *containerRuntime) container(id string) (*container, error) {
	r.mu.Lock()
	defer r.mu.Unlock()

	if one, ok := r.containers[id]; ok {
		return one, nil
	}

	return nil, status.Errorf(codes.NotFound, "no container %q", id)
}

func (r *containerRuntime) running(id string) (*container, error) {
	one, err := r.container(id)
	if err != nil {
		return nil, err
	}

	if one.state() != cri.ContainerState_CONTAINER_RUNNING {
		return nil, status.Errorf(codes.FailedPrecondition, "container %s is not running", one.config.GetMetadata().GetName())
	}

	return one, nil
}

func (c *container) state() cri.ContainerState {
	c.mu.Lock()
	defer c.mu.Unlock()

	return c.stateLocked()
}

func (c *container) stateLocked() cri.ContainerState {
	switch {
	case c.finishedAt != 0:
		return cri.ContainerState_CONTAINER_EXITED
	case c.startedAt != 0:
		return cri.ContainerState_CONTAINER_RUNNING
	default:
		return cri.ContainerState_CONTAINER_CREATED
	}
}

// CreateContainer plans; nothing exists of a container before its start.
func (r *containerRuntime) CreateContainer(_ context.Context, request *cri.CreateContainerRequest) (*cri.CreateContainerResponse, error) {
	pod, err := r.sandbox(request.GetPodSandboxId())
	if err != nil {
		return nil, err
	}

	config := request.GetConfig()

	image, err := r.images.resolve(config.GetImage().GetImage())
	if err != nil {
		return nil, err
	}

	ofNode, err := os.ReadFile("/etc/resolv.conf")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}

	plan, err := planContainer(config, image, pod.hostname(r.options.NodeName), resolvConf(pod.config.GetDnsConfig(), string(ofNode)))
	if err != nil {
		return nil, err
	}

	log, err := newContainerLog(pod.config.GetLogDirectory(), config.GetLogPath())
	if err != nil {
		return nil, err
	}

	one := &container{
		id: newID(), sandbox: pod, config: config, imageRef: r.images.reference(userImage(config)),
		plan: plan, createdAt: now(), log: log, ended: make(chan struct{}),
	}

	r.mu.Lock()
	r.containers[one.id] = one
	r.mu.Unlock()

	return &cri.CreateContainerResponse{ContainerId: one.id}, nil
}

// StartContainer returns when the program runs, or with the reason why it does not.
func (r *containerRuntime) StartContainer(_ context.Context, request *cri.StartContainerRequest) (*cri.StartContainerResponse, error) {
	one, err := r.container(request.GetContainerId())
	if err != nil {
		return nil, err
	}

	r.mu.Lock()
	held := one.sandbox.namespaces
	r.mu.Unlock()

	if held == nil {
		return nil, status.Error(codes.FailedPrecondition, "the pod is stopped")
	}

	if err := r.start(one, held); err != nil {
		one.finish(128, "StartError", err.Error())

		return nil, err
	}

	return &cri.StartContainerResponse{}, nil
}

func (r *containerRuntime) start(one *container, held *namespaces) error {
	command := exec.Command("/proc/self/exe")
	command.Args = append([]string{"pod-runtime", stageInit}, held.names()...)
	command.Env = []string{}
	command.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL, Setsid: true,
	}
	command.Stdout, command.Stderr = one.log.stream("stdout"), one.log.stream("stderr")
	command.WaitDelay = 2 * time.Second

	if one.config.GetStdin() {
		read, write, err := os.Pipe()
		if err != nil {
			return err
		}
		defer read.Close() //nolint:errcheck // the process has its own

		command.Stdin, one.stdin = read, write
	}

	if err := r.starter.startStage(command, one.plan, held.files()); err != nil {
		return err
	}

	one.mu.Lock()
	one.command, one.startedAt = command, now()
	one.mu.Unlock()

	go one.wait()

	return nil
}

func (c *container) wait() {
	err := c.command.Wait()
	code := statusCode(c.command.ProcessState)
	reason := "Completed"

	if code != 0 || err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		reason = "Error"
	}

	c.finish(int32(code), reason, "")
}

func (c *container) finish(code int32, reason, message string) {
	c.mu.Lock()
	defer c.mu.Unlock()

	if c.finishedAt != 0 {
		return
	}

	c.exitCode, c.reason, c.message, c.finishedAt = code, reason, message, now()
	if c.startedAt == 0 {
		c.startedAt = c.finishedAt
	}

	if c.stdin != nil {
		_ = c.stdin.Close()
	}

	c.log.end()
	close(c.ended)
}

// stop ends the process: SIGTERM, and SIGKILL after the time of grace.
func (c *container) stop(ctx context.Context, grace time.Duration) error {
	c.mu.Lock()
	command, state := c.command, c.stateLocked()
	c.mu.Unlock()

	if state != cri.ContainerState_CONTAINER_RUNNING {
		return nil
	}

	if grace > 0 {
		_ = command.Process.Signal(syscall.SIGTERM)

		select {
		case <-c.ended:
			return nil
		case <-time.After(grace):
		case <-ctx.Done():
			return ctx.Err()
		}
	}

	_ = command.Process.Kill() // the end of its first process ends a PID namespace

	select {
	case <-c.ended:
		return nil
	case <-time.After(10 * time.Second):
		return status.Errorf(codes.DeadlineExceeded, "container %s does not die", c.id)
	}
}

func (r *containerRuntime) StopContainer(ctx context.Context, request *cri.StopContainerRequest) (*cri.StopContainerResponse, error) {
	one, err := r.container(request.GetContainerId())
	if err != nil {
		return &cri.StopContainerResponse{}, nil
	}

	return &cri.StopContainerResponse{}, one.stop(ctx, time.Duration(request.GetTimeout())*time.Second)
}

func (r *containerRuntime) RemoveContainer(ctx context.Context, request *cri.RemoveContainerRequest) (*cri.RemoveContainerResponse, error) {
	one, err := r.container(request.GetContainerId())
	if err != nil {
		return &cri.RemoveContainerResponse{}, nil
	}

	if err := one.stop(ctx, 0); err != nil {
		return nil, err
	}

	r.forget(one)

	return &cri.RemoveContainerResponse{}, nil
}

// forget leaves the log file: it is the kubelet's, with the pod's log directory.
func (r *containerRuntime) forget(one *container) {
	one.log.end()

	r.mu.Lock()
	defer r.mu.Unlock()

	delete(r.containers, one.id)
}

func (r *containerRuntime) ListContainers(_ context.Context, request *cri.ListContainersRequest) (*cri.ListContainersResponse, error) {
	response := &cri.ListContainersResponse{}
	filter := request.GetFilter()

	for _, one := range snapshot(&r.mu, r.containers) {
		state := one.state()
		if !matches(filter.GetId(), one.id) || !matches(filter.GetPodSandboxId(), one.sandbox.id) ||
			!selects(filter.GetLabelSelector(), one.config.GetLabels()) ||
			filter.GetState() != nil && filter.GetState().GetState() != state {
			continue
		}

		response.Containers = append(response.Containers, &cri.Container{
			Id: one.id, PodSandboxId: one.sandbox.id, Metadata: one.config.GetMetadata(), Image: one.config.GetImage(),
			ImageRef: one.imageRef, ImageId: one.config.GetImage().GetImage(), State: state, CreatedAt: one.createdAt,
			Labels: one.config.GetLabels(), Annotations: one.config.GetAnnotations(),
		})
	}

	return response, nil
}

func (r *containerRuntime) ContainerStatus(_ context.Context, request *cri.ContainerStatusRequest) (*cri.ContainerStatusResponse, error) {
	one, err := r.container(request.GetContainerId())
	if err != nil {
		return nil, err
	}

	image := &cri.ImageSpec{Image: userImage(one.config)}

	one.mu.Lock()
	defer one.mu.Unlock()

	return &cri.ContainerStatusResponse{Status: &cri.ContainerStatus{
		Id: one.id, Metadata: one.config.GetMetadata(), State: one.stateLocked(), CreatedAt: one.createdAt,
		StartedAt: one.startedAt, FinishedAt: one.finishedAt, ExitCode: one.exitCode, Reason: one.reason, Message: one.message,
		Image: image, ImageRef: one.imageRef, ImageId: one.config.GetImage().GetImage(),
		Labels: one.config.GetLabels(), Annotations: one.config.GetAnnotations(), Mounts: one.config.GetMounts(),
		LogPath: filepath.Join(one.sandbox.config.GetLogDirectory(), one.config.GetLogPath()),
	}}, nil
}

func (r *containerRuntime) ReopenContainerLog(
	_ context.Context, request *cri.ReopenContainerLogRequest,
) (*cri.ReopenContainerLogResponse, error) {
	one, err := r.running(request.GetContainerId())
	if err != nil {
		return nil, err
	}

	return &cri.ReopenContainerLogResponse{}, one.log.reopen()
}

func (c *container) stats() *cri.ContainerStats {
	at := now()

	return &cri.ContainerStats{
		Attributes: &cri.ContainerAttributes{
			Id: c.id, Metadata: c.config.GetMetadata(), Labels: c.config.GetLabels(), Annotations: c.config.GetAnnotations(),
		},
		Cpu:           &cri.CpuUsage{Timestamp: at, UsageCoreNanoSeconds: &cri.UInt64Value{}},
		Memory:        &cri.MemoryUsage{Timestamp: at, WorkingSetBytes: &cri.UInt64Value{}},
		WritableLayer: &cri.FilesystemUsage{Timestamp: at, UsedBytes: &cri.UInt64Value{}, InodesUsed: &cri.UInt64Value{}},
	}
}

// userImage is the image as the pod names it; the kubelet asks for containers by the image's ID.
func userImage(config *cri.ContainerConfig) string {
	return firstOf(config.GetImage().GetUserSpecifiedImage(), config.GetImage().GetImage())
}
