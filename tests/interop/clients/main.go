// cloud.google.com/go/storage, golang.org/x/oauth2/google by itself, and google.golang.org/api/idtoken: whose bucket, who reads it, and
// what a service makes of an ID token.
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime/debug"

	"cloud.google.com/go/storage"
	"golang.org/x/oauth2/google"
	"google.golang.org/api/idtoken"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func versions() {
	info, _ := debug.ReadBuildInfo()
	for _, m := range info.Deps {
		if m.Path == "cloud.google.com/go/storage" || m.Path == "golang.org/x/oauth2" || m.Path == "google.golang.org/api" {
			fmt.Println(m.Path, m.Version)
		}
	}
}

func withOAuth2(ctx context.Context) {
	client, err := google.DefaultClient(ctx, "https://www.googleapis.com/auth/cloud-platform")
	must(err)
	show(client, "https://storage.googleapis.com/storage/v1/b/of-"+os.Getenv("NAME")+"/o/whoami?alt=media")
}

func withIDToken(ctx context.Context) {
	client, err := idtoken.NewClient(ctx, "https://service.hallpass.test")
	must(err)
	show(client, "https://service.hallpass.test/service/of-"+os.Getenv("NAME"))
}

func show(client *http.Client, url string) {
	answer, err := client.Get(url)
	must(err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	must(err)
	if answer.StatusCode != http.StatusOK {
		must(fmt.Errorf("%s: %s", answer.Status, body))
	}
	fmt.Println(string(body))
}

func withStorage(ctx context.Context) {
	client, err := storage.NewClient(ctx)
	must(err)
	bucket := client.Bucket("of-" + os.Getenv("NAME"))
	writer := bucket.Object("note").NewWriter(ctx)
	fmt.Fprint(writer, "written by Go")
	must(writer.Close())
	reader, err := bucket.Object("whoami").NewReader(ctx)
	must(err)
	body, err := io.ReadAll(reader)
	must(err)
	fmt.Println(string(body))
}

func main() {
	switch {
	case len(os.Args) > 1 && os.Args[1] == "--version":
		versions()
	case len(os.Args) > 1 && os.Args[1] == "oauth2":
		withOAuth2(context.Background())
	case len(os.Args) > 1 && os.Args[1] == "idtoken":
		withIDToken(context.Background())
	default:
		withStorage(context.Background())
	}
}
