// SPDX-License-Identifier: GPL-3.0-or-later

package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"syscall"
	"time"

	cosi "github.com/cosi-project/runtime/api/v1alpha1"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/cosi-project/runtime/pkg/state/protobuf/server"
	"github.com/google/uuid"
	"github.com/siderolabs/talos/pkg/archiver"
	"github.com/siderolabs/talos/pkg/machinery/api/common"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"
)

const (
	rebootGrace = 200 * time.Millisecond // for the answer to a request to get out before the reboot it causes
	chunk       = 32 << 10               // bytes of a file in one message
)

// machined serves the machine's own API; apid stands before it and asks who is asking.
type machined struct {
	machine.UnimplementedMachineServiceServer
	*boot
}

// Register implements factory.Registrator.
func (m *machined) Register(s *grpc.Server) {
	machine.RegisterMachineServiceServer(s, m)
	cosi.RegisterStateServer(s, server.NewState(state.WrapCore(state.Filter(m.resources, access(m.resources)))))

	if !m.before(13) { // talosctl falls back to MachineService when it is missing
		machine.RegisterImageServiceServer(s, &imageService{machined: m})
	}
}

// Version implements machine.MachineService.
func (m *machined) Version(context.Context, *emptypb.Empty) (*machine.VersionResponse, error) {
	return &machine.VersionResponse{Messages: []*machine.Version{{
		Version: &machine.VersionInfo{
			Tag: m.TalosVersion, Sha: "undefined", GoVersion: goruntime.Version(), Os: goruntime.GOOS, Arch: goruntime.GOARCH,
		},
		Platform: &machine.PlatformInfo{Name: "metal", Mode: metal{}.String()},
		Features: &machine.FeaturesInfo{Rbac: true},
	}}}, nil
}

// Hostname implements machine.MachineService.
func (m *machined) Hostname(context.Context, *emptypb.Empty) (*machine.HostnameResponse, error) {
	return &machine.HostnameResponse{Messages: []*machine.Hostname{{Hostname: m.hostname(m.active())}}}, nil
}

// Reboot implements machine.MachineService.
func (m *machined) Reboot(context.Context, *machine.RebootRequest) (*machine.RebootResponse, error) {
	time.AfterFunc(rebootGrace, m.requestReboot)

	return &machine.RebootResponse{Messages: []*machine.Reboot{{ActorId: uuid.NewString()}}}, nil
}

// Events implements machine.MachineService, as far as `talosctl reboot --wait` follows it: a greeting; for who asks for
// past events, that the machine is up; then nothing until the node goes down.
func (m *machined) Events(in *machine.EventsRequest, stream grpc.ServerStreamingServer[machine.Event]) error {
	events := []proto.Message{&emptypb.Empty{}}
	if in.GetTailEvents() != 0 {
		events = append(events, &machine.MachineStatusEvent{
			Stage: machine.MachineStatusEvent_RUNNING, Status: &machine.MachineStatusEvent_MachineStatus{Ready: true},
		})
	}

	for _, event := range events {
		data, err := anypb.New(event)
		if err != nil {
			return err
		}

		data.TypeUrl = "talos/runtime/" + string(event.ProtoReflect().Descriptor().FullName())

		if err := stream.Send(&machine.Event{Data: data, Id: uuid.NewString()}); err != nil {
			return err
		}
	}

	<-stream.Context().Done()

	return stream.Context().Err()
}

// ofNode makes an error about a file speak of the path that the node knows it by.
func (m *machined) ofNode(err error) error {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return &fs.PathError{Op: pathError.Op, Path: m.nodePath(pathError.Path), Err: pathError.Err}
	}

	return err
}

func (m *machined) nodePath(path string) string {
	return filepath.Clean("/" + strings.TrimPrefix(path, filepath.Clean(m.Root)))
}

// Read implements machine.MachineService.
func (m *machined) Read(in *machine.ReadRequest, stream grpc.ServerStreamingServer[common.Data]) error {
	info, err := os.Stat(m.path(in.Path))
	if errors.Is(err, fs.ErrNotExist) {
		return status.Error(codes.NotFound, m.ofNode(err).Error())
	}

	if err != nil {
		return m.ofNode(err)
	}

	if !info.Mode().IsRegular() {
		return errors.New("path must be a regular file")
	}

	file, err := os.Open(m.path(in.Path))
	if err != nil {
		return m.ofNode(err)
	}
	defer file.Close() //nolint:errcheck

	for {
		buffer := make([]byte, chunk)

		n, err := file.Read(buffer)
		if n > 0 {
			if err := stream.Send(&common.Data{Bytes: buffer[:n]}); err != nil {
				return err
			}
		}

		if errors.Is(err, io.EOF) {
			return nil
		}

		if err != nil {
			return m.ofNode(err)
		}
	}
}

var listTypes = map[machine.ListRequest_Type]archiver.FileType{
	machine.ListRequest_REGULAR:   archiver.RegularFileType,
	machine.ListRequest_DIRECTORY: archiver.DirectoryFileType,
	machine.ListRequest_SYMLINK:   archiver.SymlinkFileType,
}

// List implements machine.MachineService.
func (m *machined) List(in *machine.ListRequest, stream grpc.ServerStreamingServer[machine.FileInfo]) error {
	depth := 0
	if in.GetRecurse() {
		if depth = int(in.GetRecursionDepth()); depth == 0 {
			depth = -1
		}
	}

	options := []archiver.WalkerOption{archiver.WithMaxRecurseDepth(depth)}

	if len(in.GetTypes()) > 0 {
		types := make([]archiver.FileType, 0, len(in.GetTypes()))
		for _, kind := range in.GetTypes() {
			types = append(types, listTypes[kind])
		}

		options = append(options, archiver.WithFileTypes(types...))
	}

	entries, err := archiver.Walker(stream.Context(), m.path(in.GetRoot()), options...)
	if err != nil {
		return m.ofNode(err)
	}

	for entry := range entries {
		if err := stream.Send(m.fileInfo(entry)); err != nil {
			return err
		}
	}

	return nil
}

func (m *machined) fileInfo(entry archiver.FileItem) *machine.FileInfo {
	info := &machine.FileInfo{Name: m.nodePath(entry.FullPath), RelativeName: entry.RelPath}

	if entry.Error != nil {
		info.Error = m.ofNode(entry.Error).Error()

		return info
	}

	info.Size = entry.FileInfo.Size()
	info.Mode = uint32(entry.FileInfo.Mode())
	info.Modified = entry.FileInfo.ModTime().Unix()
	info.IsDir = entry.FileInfo.IsDir()
	info.Link = entry.Link

	if stat, ok := entry.FileInfo.Sys().(*syscall.Stat_t); ok {
		info.Uid, info.Gid = stat.Uid, stat.Gid
	}

	return info
}

// ServiceList implements machine.MachineService.
func (m *machined) ServiceList(context.Context, *emptypb.Empty) (*machine.ServiceListResponse, error) {
	return &machine.ServiceListResponse{Messages: []*machine.ServiceList{{Services: m.services()}}}, nil
}

// ServiceStart implements machine.MachineService. Every service runs already.
func (m *machined) ServiceStart(_ context.Context, in *machine.ServiceStartRequest) (*machine.ServiceStartResponse, error) {
	if err := m.service(in.GetId()); err != nil {
		return nil, err
	}

	return &machine.ServiceStartResponse{Messages: []*machine.ServiceStart{{Resp: fmt.Sprintf("Service %q started", in.GetId())}}}, nil
}

// ServiceStop implements machine.MachineService. No service of Talos's own can be stopped.
func (m *machined) ServiceStop(_ context.Context, in *machine.ServiceStopRequest) (*machine.ServiceStopResponse, error) {
	if err := m.service(in.GetId()); err != nil {
		return nil, err
	}

	return nil, fmt.Errorf("service %q doesn't support stop operation via API", in.GetId())
}

// ServiceRestart implements machine.MachineService. Of Talos's own services only the kubelet can be restarted.
func (m *machined) ServiceRestart(_ context.Context, in *machine.ServiceRestartRequest) (*machine.ServiceRestartResponse, error) {
	if err := m.service(in.GetId()); err != nil {
		return nil, err
	}

	if in.GetId() != "kubelet" {
		return nil, fmt.Errorf("service %q doesn't support restart operation via API", in.GetId())
	}

	return &machine.ServiceRestartResponse{Messages: []*machine.ServiceRestart{{Resp: fmt.Sprintf("Service %q restarted", in.GetId())}}}, nil
}

func (m *machined) service(id string) error {
	for _, service := range m.services() {
		if service.GetId() == id {
			return nil
		}
	}

	return fmt.Errorf("service %q is not defined", id)
}
