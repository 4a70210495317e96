/* A web server of the plainest kind: so many processes that all wait for connections, with blocking
 * sockets, read(2) and write(2). It shares nothing with httpd, so that what holds for that one is
 * not by its own doing.
 *
 *     serve PORT FOLDER [PROCESSES]
 *
 * It answers GET with a file of the folder, and closes the connection. */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HEAD = 4096, BLOCK = 65536, BACKLOG = 128, MOST = 256 };

static void fail(const char *what)
{
	fprintf(stderr, "serve: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* All of it; 0 if the client has gone. */
static int send_all(int client, const char *bytes, size_t length)
{
	while (length > 0) {
		ssize_t sent = write(client, bytes, length);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			return 0;
		bytes += sent;
		length -= (size_t)sent;
	}
	return 1;
}

static void say(int client, const char *status)
{
	char head[256];
	int length = snprintf(head, sizeof head,
						  "HTTP/1.0 %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", status);
	send_all(client, head, (size_t)length);
}

static void send_file(int client, int file, off_t size)
{
	static char block[BLOCK];
	int length = snprintf(block, sizeof block,
						  "HTTP/1.0 200 OK\r\nContent-Type: application/octet-stream\r\n"
						  "Content-Length: %lld\r\nConnection: close\r\n\r\n",
						  (long long)size);
	if (!send_all(client, block, (size_t)length))
		return;
	for (;;) {
		ssize_t got = read(file, block, sizeof block);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0 || !send_all(client, block, (size_t)got))
			return;
	}
}

/* Reads the head of a request; its path without the first slash, or NULL. */
static char *receive(int client, char head[HEAD])
{
	size_t have = 0;
	while (have < HEAD - 1) {
		ssize_t got = read(client, head + have, HEAD - 1 - have);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return NULL;
		have += (size_t)got;
		head[have] = 0;
		if (strstr(head, "\r\n\r\n") != NULL)
			break;
	}
	if (strncmp(head, "GET /", 5) != 0)
		return NULL;
	char *path = head + 5;
	path[strcspn(path, " ?\r\n")] = 0;
	return path;
}

static void answer(int client, int folder)
{
	char head[HEAD];
	char *path = receive(client, head);
	if (path == NULL || strstr(path, "..") != NULL || path[0] == '/') {
		say(client, "400 Bad Request");
		return;
	}
	int file = openat(folder, path[0] == 0 ? "index.html" : path, O_RDONLY);
	struct stat status;
	if (file < 0 || fstat(file, &status) < 0 || !S_ISREG(status.st_mode))
		say(client, "404 Not Found");
	else
		send_file(client, file, status.st_size);
	if (file >= 0)
		close(file);
	/* What the client has sent besides must not make the end of the answer a reset. */
	shutdown(client, SHUT_WR);
	while (read(client, head, sizeof head) > 0)
		;
}

static void serve(int listener, int folder)
{
	for (;;) {
		int client = accept(listener, NULL, NULL);
		if (client < 0)
			continue;
		answer(client, folder);
		close(client);
	}
}

int main(int count, char **words)
{
	if (count < 3) {
		fprintf(stderr, "serve: expected PORT FOLDER [PROCESSES]\n");
		return 2;
	}
	int processes = count > 3 ? atoi(words[3]) : 32;
	int folder = open(words[2], O_RDONLY | O_DIRECTORY);
	if (folder < 0)
		fail(words[2]);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	if (listener < 0)
		fail("socket");
	int one = 1;
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons((unsigned short)atoi(words[1])),
	};
	if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0)
		fail("bind");
	if (listen(listener, BACKLOG) < 0)
		fail("listen");
	signal(SIGPIPE, SIG_IGN);
	for (int number = 1; number < processes && number < MOST; number++) {
		pid_t child = fork();
		if (child < 0)
			fail("fork");
		if (child == 0)
			serve(listener, folder);
	}
	serve(listener, folder);
	return 0;
}
