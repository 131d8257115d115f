package archives

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// s3 is a place in a store that speaks S3.
type s3 struct {
	client *minio.Client
	bucket string
	prefix string
}

func newS3(u *url.URL) (*s3, error) {
	q := u.Query()
	for key := range q {
		if key != "endpoint" && key != "region" {
			return nil, fmt.Errorf("s3: %q is no parameter, allowed are endpoint and region", key)
		}
	}
	if u.Host == "" {
		return nil, errors.New("s3: the bucket is missing: write s3://bucket/prefix")
	}
	endpoint := q.Get("endpoint")
	if endpoint == "" {
		endpoint = "https://s3.amazonaws.com"
	}
	at, err := url.Parse(endpoint)
	if err != nil || at.Host == "" || (at.Scheme != "http" && at.Scheme != "https") || strings.Trim(at.Path, "/") != "" {
		return nil, fmt.Errorf("s3: endpoint %q is none: write https://host:port", endpoint)
	}
	client, err := minio.New(at.Host, &minio.Options{
		Creds: credentials.NewChainCredentials([]credentials.Provider{
			&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}, &credentials.IAM{},
		}),
		Secure: at.Scheme == "https", Region: q.Get("region"),
	})
	if err != nil {
		return nil, fmt.Errorf("s3: %w", err)
	}
	return &s3{client, u.Host, strings.Trim(u.Path, "/")}, nil
}

func (s *s3) key(name string) string { return path.Join(s.prefix, name) }

// Put implements Place. The file is uploaded in parts while it is written, and appears when the last one is there; then it is
// read back, because what is archived is about to be deleted.
func (s *s3) Put(ctx context.Context, name string, write func(io.Writer) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out, in := io.Pipe()
	digest := sha256.New()
	written := make(chan error, 1)
	go func() {
		err := write(io.MultiWriter(in, digest))
		_ = in.CloseWithError(err) // a failed upload leaves nothing behind
		written <- err
	}()
	info, err := s.client.PutObject(ctx, s.bucket, s.key(name), out, -1, minio.PutObjectOptions{
		ContentType: "application/gzip", PartSize: 16 << 20,
		// Plain bodies, which every store understands; signed pieces are not. It is read back in any case.
		SendContentMd5: true, DisableContentSha256: true,
	})
	_ = out.CloseWithError(errors.Join(err, io.ErrClosedPipe)) // so that write ends, too
	if failed := <-written; failed != nil && (err == nil || !errors.Is(failed, io.ErrClosedPipe)) {
		err = failed
	}
	if err != nil {
		return fmt.Errorf("s3: upload %s/%s: %w", s.bucket, s.key(name), err)
	}
	return s.verify(ctx, name, info.Size, hex.EncodeToString(digest.Sum(nil)))
}

// verify reads a stored file and compares it with what was written.
func (s *s3) verify(ctx context.Context, name string, size int64, want string) error {
	in, err := s.Open(ctx, name)
	if err != nil {
		return err
	}
	digest := sha256.New()
	n, err := io.Copy(digest, in)
	if err = errors.Join(err, in.Close()); err != nil {
		return fmt.Errorf("s3: read back %s/%s: %w", s.bucket, s.key(name), err)
	}
	if got := hex.EncodeToString(digest.Sum(nil)); n != size || got != want {
		return fmt.Errorf("s3: %s/%s is not what was written: %d bytes with digest %s, want %d with %s", s.bucket, s.key(name), n, got, size, want)
	}
	return nil
}

// Open implements Place.
func (s *s3) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	in, err := s.client.GetObject(ctx, s.bucket, s.key(name), minio.GetObjectOptions{})
	if err == nil {
		if _, err = in.Stat(); err != nil {
			_ = in.Close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("s3: read %s/%s: %w", s.bucket, s.key(name), err)
	}
	return in, nil
}
