// SPDX-License-Identifier: GPL-3.0-or-later

package node

import (
	"context"

	"github.com/containerd/errdefs"
	"github.com/siderolabs/talos/pkg/machinery/api/common"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"splithorizon.example/sandbox/talos/internal/pull"
)

// imageService is the API for images of Talos 1.13 and later.
type imageService struct {
	machine.UnimplementedImageServiceServer
	*machined
}

func namespace(asked common.ContainerdNamespace) (string, error) {
	switch asked {
	case common.ContainerdNamespace_NS_CRI:
		return pull.NamespaceCRI, nil
	case common.ContainerdNamespace_NS_SYSTEM:
		return pull.NamespaceSystem, nil
	default:
		return "", status.Errorf(codes.InvalidArgument, "invalid containerd namespace %s", asked)
	}
}

func instance(asked *common.ContainerdInstance) (string, error) {
	if asked.GetDriver() != common.ContainerDriver_CONTAINERD {
		return namespace(asked.GetNamespace())
	}

	if asked.GetNamespace() == common.ContainerdNamespace_NS_CRI {
		return "", status.Error(codes.InvalidArgument, "cannot use CRI namespace with containerd driver")
	}

	return "inmem", nil
}

// pullInto pulls by Talos's resolver and gives repository@digest.
func (m *machined) pullInto(ctx context.Context, namespace, ref string) (string, error) {
	image, err := m.images.AsTalos(ctx, m.registries, namespace, ref)
	if errdefs.IsNotFound(err) {
		return "", status.Errorf(codes.NotFound, "error pulling image: %s", err)
	}

	return image.RepoDigest(), err
}

// List implements machine.ImageService.
func (s *imageService) List(in *machine.ImageServiceListRequest, stream grpc.ServerStreamingServer[machine.ImageServiceListResponse]) error {
	name, err := instance(in.GetContainerd())
	if err != nil {
		return err
	}

	list, err := s.images.Images(name)
	if err != nil {
		return err
	}

	for _, image := range list {
		if err := stream.Send(&machine.ImageServiceListResponse{
			Name: image.Name, Digest: image.Digest, Size: image.Size, Labels: image.Labels, CreatedAt: timestamppb.New(image.Created),
		}); err != nil {
			return err
		}
	}

	return nil
}

// Pull implements machine.ImageService.
func (s *imageService) Pull(in *machine.ImageServicePullRequest, stream grpc.ServerStreamingServer[machine.ImageServicePullResponse]) error {
	name, err := instance(in.GetContainerd())
	if err != nil {
		return err
	}

	pulled, err := s.pullInto(stream.Context(), name, in.GetImageRef())
	if err != nil {
		return err
	}

	return stream.Send(&machine.ImageServicePullResponse{Response: &machine.ImageServicePullResponse_Name{Name: pulled}})
}

// Remove implements machine.ImageService.
func (s *imageService) Remove(_ context.Context, in *machine.ImageServiceRemoveRequest) (*emptypb.Empty, error) {
	name, err := instance(in.GetContainerd())
	if err != nil {
		return nil, err
	}

	if _, found, err := s.images.Image(name, in.GetImageRef()); err != nil || !found {
		return nil, status.Errorf(codes.NotFound, "image %s not found", in.GetImageRef())
	}

	return &emptypb.Empty{}, s.images.RemoveImage(name, in.GetImageRef())
}

// ImageList implements machine.MachineService.
func (m *machined) ImageList(in *machine.ImageListRequest, stream grpc.ServerStreamingServer[machine.ImageListResponse]) error {
	name, err := namespace(in.GetNamespace())
	if err != nil {
		return err
	}

	list, err := m.images.Images(name)
	if err != nil {
		return err
	}

	for _, image := range list {
		if err := stream.Send(&machine.ImageListResponse{
			Name: image.Name, Digest: image.Digest, Size: image.Size, CreatedAt: timestamppb.New(image.Created),
		}); err != nil {
			return err
		}
	}

	return nil
}

// ImagePull implements machine.MachineService.
func (m *machined) ImagePull(ctx context.Context, in *machine.ImagePullRequest) (*machine.ImagePullResponse, error) {
	name, err := namespace(in.GetNamespace())
	if err != nil {
		return nil, err
	}

	if _, err := m.pullInto(ctx, name, in.GetReference()); err != nil {
		return nil, err
	}

	return &machine.ImagePullResponse{Messages: []*machine.ImagePull{{}}}, nil
}
