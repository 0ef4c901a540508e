// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"splithorizon.example/sandbox/talos/internal/pull"
)

// program is one entry of images.yaml: what stands for the images whose name matches.
type program struct {
	Image      string   `yaml:"image"`      // name:tag, `*` for any part without a slash
	Program    string   `yaml:"program"`    // file in --bin; none: nothing but the machine's own programs
	Path       string   `yaml:"path"`       // where the container has it
	Entrypoint []string `yaml:"entrypoint"` // default: path
	Arguments  []string `yaml:"arguments"`
	Directory  string   `yaml:"directory"` // working directory, default /
	Toolbox    bool     `yaml:"toolbox"`   // all programs of --bin, in /sandbox/bin
}

// A pulled image has no file system here: its container waits to be stopped, unless the pod gives a command.
var waiting = program{Entrypoint: []string{"/bin/sh", "-c", `trap "exit 0" TERM INT; sleep infinity & wait`}}

type table struct {
	Images []program `yaml:"images"`
}

func readTable(file string) (table, error) {
	var known table

	content, err := os.ReadFile(file)
	if err != nil {
		return known, err
	}

	if err := yaml.Unmarshal(content, &known); err != nil {
		return known, fmt.Errorf("%s: %w", file, err)
	}

	for i, entry := range known.Images {
		if _, err := path.Match(entry.Image, ""); err != nil || entry.Image == "" {
			return known, fmt.Errorf("%s: entry %d: bad image pattern %q", file, i+1, entry.Image)
		}

		if entry.Program != "" && !path.IsAbs(entry.Path) {
			return known, fmt.Errorf("%s: %s: path %q is not absolute", file, entry.Image, entry.Path)
		}

		if len(entry.Entrypoint) == 0 && entry.Program != "" {
			known.Images[i].Entrypoint = []string{entry.Path}
		}
	}

	return known, nil
}

func (t table) find(ref string) (program, bool) {
	name, _, _ := strings.Cut(fullName(ref), "@")

	for _, entry := range t.Images {
		if ok, _ := path.Match(fullName(entry.Image), name); ok {
			return entry, true
		}
	}

	return program{}, false
}

// fullName writes out what Docker's short names leave unsaid.
func fullName(ref string) string {
	first, _, found := strings.Cut(ref, "/")
	if !found {
		ref = "docker.io/library/" + ref
	} else if !strings.ContainsAny(first, ".:") && first != "localhost" {
		ref = "docker.io/" + ref
	}

	bare, _, _ := strings.Cut(ref, "@")
	if !strings.Contains(path.Base(bare), ":") && bare == ref {
		ref += ":latest"
	}

	return ref
}

// puller is what pod-runtime asks of internal/pull.
type puller interface {
	pull(ctx context.Context, ref string, auth *pull.Auth) (pull.Image, error)
	find(ref string) (pull.Image, bool, error)
	list() ([]pull.Image, error)
	remove(ref string) error
}

// nodePuller pulls as the node's containerd does, by the hosts.toml files of this very file system.
type nodePuller struct {
	node pull.Node
	cri  *pull.CRI
}

func newPuller(resolver, state string) (nodePuller, error) {
	node := pull.Node{Root: "/", State: state, Resolver: resolver}
	containerd, err := node.StartCRI()

	return nodePuller{node, containerd}, err
}

func (p nodePuller) pull(ctx context.Context, ref string, auth *pull.Auth) (pull.Image, error) {
	return p.cri.Pull(ctx, ref, auth)
}

func (p nodePuller) find(ref string) (pull.Image, bool, error) {
	return p.node.Image(pull.NamespaceCRI, ref)
}

func (p nodePuller) list() ([]pull.Image, error) { return p.node.Images(pull.NamespaceCRI) }

func (p nodePuller) remove(ref string) error { return p.node.RemoveImage(pull.NamespaceCRI, ref) }

// images is the CRI's ImageService.
type images struct {
	cri.UnimplementedImageServiceServer

	known  table
	puller puller

	mu  sync.Mutex
	ids map[string]string // ID → name, of the known images that were asked for
}

// knownID stands for the digest of an image that does not exist as one.
func (i *images) knownID(ref string) string {
	id := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(fullName(ref))))

	i.mu.Lock()
	defer i.mu.Unlock()

	i.ids[id] = ref

	return id
}

// resolve finds what a container of an image runs; ref is a name or an ID.
func (i *images) resolve(ref string) (program, error) {
	i.mu.Lock()
	if name, ok := i.ids[ref]; ok {
		ref = name
	}
	i.mu.Unlock()

	if entry, ok := i.known.find(ref); ok {
		return entry, nil
	}

	if _, ok, err := i.puller.find(ref); err != nil || !ok {
		return program{}, errors.Join(err, status.Errorf(codes.NotFound, "image %q is neither in the table of known images nor pulled", ref))
	}

	return waiting, nil
}

// reference is what a pod's status has as imageID: the digest with its repository where there is one, as containerd does.
func (i *images) reference(name string) string {
	answer, err := i.ImageStatus(context.Background(), &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: name}})
	if err == nil && len(answer.GetImage().GetRepoDigests()) > 0 {
		return answer.GetImage().GetRepoDigests()[0]
	}

	return name
}

func (i *images) ImageStatus(_ context.Context, request *cri.ImageStatusRequest) (*cri.ImageStatusResponse, error) {
	ref := request.GetImage().GetImage()

	i.mu.Lock()
	if name, ok := i.ids[ref]; ok {
		ref = name
	}
	i.mu.Unlock()

	if _, ok := i.known.find(ref); ok {
		return &cri.ImageStatusResponse{Image: i.knownImage(ref)}, nil
	}

	image, ok, err := i.puller.find(ref)
	if err != nil || !ok {
		return &cri.ImageStatusResponse{}, err
	}

	return &cri.ImageStatusResponse{Image: pulledImage(image)}, nil
}

// An image's user is never root here, so that pods with runAsNonRoot start; see README.md on users.
func (i *images) knownImage(ref string) *cri.Image {
	id := i.knownID(ref)
	name := fullName(ref)

	return &cri.Image{
		Id: id, RepoTags: []string{name}, RepoDigests: []string{path.Dir(name) + "/" + strings.SplitN(path.Base(name), ":", 2)[0] + "@" + id},
		Size: 1, Uid: &cri.Int64Value{Value: 65532}, Spec: &cri.ImageSpec{Image: ref}, Pinned: true,
	}
}

func pulledImage(image pull.Image) *cri.Image {
	one := &cri.Image{
		Id: image.ID, Size: uint64(image.Size), Uid: &cri.Int64Value{Value: 65532}, Spec: &cri.ImageSpec{Image: image.Name},
	}

	if digest := image.RepoDigest(); digest != "" {
		one.RepoDigests = []string{digest}
	}

	if !strings.Contains(image.Name, "@") && !strings.HasPrefix(image.Name, "sha256:") {
		one.RepoTags = []string{image.Name}
	}

	return one
}

func (i *images) ListImages(_ context.Context, request *cri.ListImagesRequest) (*cri.ListImagesResponse, error) {
	pulled, err := i.puller.list()
	if err != nil {
		return nil, err
	}

	byID := map[string]*cri.Image{}

	for _, one := range pulled {
		image := pulledImage(one)
		if old, ok := byID[image.GetId()]; ok {
			old.RepoTags = append(old.RepoTags, image.GetRepoTags()...)
		} else {
			byID[image.GetId()] = image
		}
	}

	i.mu.Lock()
	names := make([]string, 0, len(i.ids))
	for _, name := range i.ids {
		names = append(names, name)
	}
	i.mu.Unlock()

	for _, name := range names {
		image := i.knownImage(name)
		byID[image.GetId()] = image
	}

	response := &cri.ListImagesResponse{}
	wanted := request.GetFilter().GetImage().GetImage()

	for _, image := range byID {
		if wanted == "" || image.GetId() == wanted || (len(image.GetRepoTags()) > 0 && image.GetRepoTags()[0] == fullName(wanted)) {
			response.Images = append(response.Images, image)
		}
	}

	return response, nil
}

func (i *images) PullImage(ctx context.Context, request *cri.PullImageRequest) (*cri.PullImageResponse, error) {
	ref := request.GetImage().GetImage()
	if _, ok := i.known.find(ref); ok {
		return &cri.PullImageResponse{ImageRef: i.knownID(ref)}, nil
	}

	image, err := i.puller.pull(ctx, ref, pullAuth(request.GetAuth()))
	if err != nil {
		return nil, status.Errorf(codes.Unknown, "%v", err)
	}

	return &cri.PullImageResponse{ImageRef: image.ID}, nil
}

func pullAuth(given *cri.AuthConfig) *pull.Auth {
	if given == nil {
		return nil
	}

	return &pull.Auth{
		Username: given.GetUsername(), Password: given.GetPassword(), Auth: given.GetAuth(),
		IdentityToken: given.GetIdentityToken(), ServerAddress: given.GetServerAddress(),
	}
}

func (i *images) RemoveImage(_ context.Context, request *cri.RemoveImageRequest) (*cri.RemoveImageResponse, error) {
	return &cri.RemoveImageResponse{}, i.puller.remove(request.GetImage().GetImage())
}

func (i *images) ImageFsInfo(context.Context, *cri.ImageFsInfoRequest) (*cri.ImageFsInfoResponse, error) {
	usage := []*cri.FilesystemUsage{{
		Timestamp: now(), FsId: &cri.FilesystemIdentifier{Mountpoint: "/var/lib/kubelet"},
		UsedBytes: &cri.UInt64Value{}, InodesUsed: &cri.UInt64Value{},
	}}

	return &cri.ImageFsInfoResponse{ImageFilesystems: usage, ContainerFilesystems: usage}, nil
}
