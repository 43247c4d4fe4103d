/* A place holder: the room's owner replaces it. */
int main(void)
{
	return 0;
}
