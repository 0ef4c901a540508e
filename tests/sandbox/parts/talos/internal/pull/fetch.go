// SPDX-License-Identifier: GPL-3.0-or-later

package pull

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

const (
	maxManifest = 8 << 20 // bytes held in memory of one manifest or index
	parallel    = 3       // containerd's max_concurrent_downloads
)

type fetcher struct {
	resolver remotes.Resolver
	known    func(digest string) (Image, bool)
}

// fetch resolves named and reads all of its blobs, unless an image of that digest is known already.
func (f *fetcher) fetch(ctx context.Context, named reference.Named) (Image, error) {
	name, target, err := f.resolver.Resolve(ctx, named.String())
	if err != nil {
		return Image{}, fmt.Errorf("failed to resolve reference %q: %w", named.String(), err)
	}

	if image, ok := f.known(target.Digest.String()); ok {
		image.Cached = true

		return image, nil
	}

	source, err := f.resolver.Fetcher(ctx, name)
	if err != nil {
		return Image{}, fmt.Errorf("failed to get fetcher for %q: %w", name, err)
	}

	manifest, size, err := platformManifest(ctx, source, target)
	if err != nil {
		return Image{}, err
	}

	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)

	for _, blob := range append([]ocispec.Descriptor{manifest.Config}, manifest.Layers...) {
		size += blob.Size

		group.Go(func() error { return drain(ctx, source, blob) })
	}

	if err := group.Wait(); err != nil {
		return Image{}, err
	}

	return Image{Digest: target.Digest.String(), ID: manifest.Config.Digest.String(), Size: size}, nil
}

// platformManifest follows indexes down to the manifest of this platform; size counts every document read.
func platformManifest(ctx context.Context, source remotes.Fetcher, target ocispec.Descriptor) (manifest ocispec.Manifest, size int64, err error) {
	for range 4 {
		content, err := document(ctx, source, target)
		if err != nil {
			return manifest, size, err
		}

		size += int64(len(content))

		if images.IsManifestType(target.MediaType) {
			return manifest, size, json.Unmarshal(content, &manifest)
		}

		if !images.IsIndexType(target.MediaType) {
			return manifest, size, fmt.Errorf("unexpected media type %v for %v: %w", target.MediaType, target.Digest, errdefs.ErrNotFound)
		}

		if target, err = ofPlatform(content, target); err != nil {
			return manifest, size, err
		}
	}

	return manifest, size, fmt.Errorf("%v: indexes nested too deep", target.Digest)
}

func ofPlatform(content []byte, index ocispec.Descriptor) (ocispec.Descriptor, error) {
	var list ocispec.Index
	if err := json.Unmarshal(content, &list); err != nil {
		return index, err
	}

	for _, entry := range list.Manifests {
		if entry.Platform == nil || platforms.Default().Match(*entry.Platform) {
			return entry, nil
		}
	}

	return index, fmt.Errorf("no match for platform in manifest %v: %w", index.Digest, errdefs.ErrNotFound)
}

func document(ctx context.Context, source remotes.Fetcher, target ocispec.Descriptor) ([]byte, error) {
	if target.Size > maxManifest {
		return nil, fmt.Errorf("manifest %v: %d bytes is too large", target.Digest, target.Size)
	}

	var content bytes.Buffer

	err := copyVerified(ctx, &content, source, target)

	return content.Bytes(), err
}

func drain(ctx context.Context, source remotes.Fetcher, target ocispec.Descriptor) error {
	return copyVerified(ctx, io.Discard, source, target)
}

func copyVerified(ctx context.Context, to io.Writer, source remotes.Fetcher, target ocispec.Descriptor) error {
	content, err := source.Fetch(ctx, target)
	if err != nil {
		return fmt.Errorf("failed to copy: %w", err)
	}
	defer content.Close() //nolint:errcheck

	verifier := target.Digest.Verifier()

	written, err := io.Copy(io.MultiWriter(to, verifier), io.LimitReader(content, target.Size+1))
	if err != nil {
		return fmt.Errorf("failed to copy: %w", err)
	}

	if written != target.Size || !verifier.Verified() {
		return fmt.Errorf("unexpected commit digest of %d bytes, expected %v of %d: %w", written, target.Digest, target.Size, errdefs.ErrFailedPrecondition)
	}

	return nil
}
