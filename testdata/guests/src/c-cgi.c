// A command in C that serves HTTP by CGI, as any program does that reads its environment and stdin and writes to stdout. It shows what
// it got. The path /status answers 418, /bare has no header but an empty line, /fail ends with an exit code and no response.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

int main(int argc, char **argv) {
  const char *path = getenv("PATH_INFO");
  if (!path) path = "";
  if (!strcmp(path, "/fail")) return 9;
  if (!strcmp(path, "/status")) printf("Status: 418 I am a teapot\r\n");
  if (strcmp(path, "/bare")) printf("Content-Type: text/plain\r\nX-Guest: c-cgi\r\n");
  printf("\r\n");
  for (int i = 0; i < argc; i++) printf("arg %d %s\n", i, argv[i]);
  for (char **e = environ; *e; e++) printf("%s\n", *e);
  printf("\n");
  char buf[16384];
  for (size_t n; (n = fread(buf, 1, sizeof buf, stdin)) > 0;) fwrite(buf, 1, n, stdout);
  return 0;
}
